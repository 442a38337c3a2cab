import edge.model.DirectoryFiles
import edge.model.Model
import edge.model.NativeTokenizer
import edge.model.Options
import edge.model.Provider
import edge.model.SelfTest
import edge.model.SelfTestOnDevice
import java.io.File
import org.json.JSONObject
import org.json.JSONTokener
import org.junit.AssumptionViolatedException

/**
 * usage: MainKt FOLDER PROVIDER [ITEM ...]: as lines of JSON the answer to the first reference item,
 * the self-test, how the test on a device ends, and the answer or error of each further item.
 */
fun main(arguments: Array<String>) {
    val files = DirectoryFiles(File(arguments[0]))
    val options = Options(Provider.valueOf(arguments[1]), threads = 1)
    val scratch = File(arguments[0]).absoluteFile.parentFile
    Model.open(files, scratch, options, tokenizerOf = ::NativeTokenizer).use { model ->
        val item = model.document.cases.first().item
        val answer = JSONObject()
            .put("result", item?.let { model.answer(it).result })
            .put("placement", JSONObject(model.placement))
            .put("fallback", model.fallback)
        println(answer)
        val test = SelfTest.run(model, files)
        println(test.asJson().put("problems", test.problems.joinToString()))
        println(JSONObject().put("device", onDevice(options.provider)))
        for (more in arguments.drop(2)) {
            val told = JSONObject()
            try {
                told.put("result", model.answer(JSONTokener(more).nextValue()).result)
            } catch (error: IllegalArgumentException) {
                told.put("error", error.message)
            }
            println(told)
        }
    }
}

private fun onDevice(provider: Provider): String {
    val tests = SelfTestOnDevice()
    return try {
        when (provider) {
            Provider.CPU -> tests.theCpuGivesTheStoredAnswers()
            Provider.XNNPACK -> tests.xnnpackGivesTheStoredAnswers()
            Provider.NNAPI -> tests.nnapiGivesTheStoredAnswers()
        }
        "passed"
    } catch (skipped: AssumptionViolatedException) {
        "skipped: ${skipped.message}"
    } catch (failed: AssertionError) {
        "failed: ${failed.message}"
    }
}
