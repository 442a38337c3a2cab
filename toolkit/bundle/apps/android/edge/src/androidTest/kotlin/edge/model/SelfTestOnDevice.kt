package edge.model

import android.util.Log
import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Test
import org.junit.runner.RunWith

/**
 * Proves on a device that it computes what the machine that made the bundle did.
 *
 * The test of a provider that runs no node there is reported as skipped.
 */
@RunWith(AndroidJUnit4::class)
class SelfTestOnDevice {
    @Test
    fun theCpuGivesTheStoredAnswers() = check(Options(Provider.CPU))

    @Test
    fun xnnpackGivesTheStoredAnswers() = check(Options(Provider.XNNPACK))

    /** In float32: with float16 the answers differ by more than the limit. */
    @Test
    fun nnapiGivesTheStoredAnswers() = check(Options(Provider.NNAPI))

    private fun check(options: Options) {
        val context = InstrumentationRegistry.getInstrumentation().targetContext
        openModel(context, options).use { model ->
            assumeTrue("not on ${options.provider}: ${model.fallback}", model.fallback == null)
            val test = SelfTest.run(model, AssetFiles(context.assets))
            Log.i("edge", test.asJson().toString())
            assertTrue(test.toString(), test.passed)
        }
    }
}
