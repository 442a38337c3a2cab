package edge.model

import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import ai.onnxruntime.OrtSession.SessionOptions
import android.content.Context
import android.content.res.AssetManager
import android.system.Os
import java.io.FileInputStream
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/** `model/` as the app's assets, which the build does not compress. */
class AssetFiles(private val assets: AssetManager) : ModelFiles {
    override fun content(name: String): ByteBuffer = assets.openFd(name).use { asset ->
        FileInputStream(asset.fileDescriptor).use {
            it.channel.map(FileChannel.MapMode.READ_ONLY, asset.startOffset, asset.length)
        }
    }

    override fun session(environment: OrtEnvironment, graph: String, settings: SessionOptions): OrtSession =
        environment.createSession(content(graph), settings)
}

/** The model in the app's assets; see [Model.open]. Call it away from the main thread. */
fun openModel(context: Context, options: Options = Options(), isStrict: Boolean = false): Model {
    // ONNX Runtime reads this once, when its library is loaded.
    Os.setenv("ORT_DISABLE_TELEMETRY", "1", true)
    val files = AssetFiles(context.assets)
    return Model.open(files, context.cacheDir, options, isStrict, tokenizerOf = ::NativeTokenizer)
}
