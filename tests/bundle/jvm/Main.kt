import edge.model.DirectoryFiles
import edge.model.Model
import edge.model.NativeTokenizer
import edge.model.Options
import edge.model.Provider
import edge.model.SelfTest
import java.io.File
import org.json.JSONObject

/** usage: MainKt FOLDER PROVIDER: the library's self-test and first answer, as two lines of JSON. */
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
    }
}
