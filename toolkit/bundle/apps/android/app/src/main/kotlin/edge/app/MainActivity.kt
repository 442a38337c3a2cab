package edge.app

import android.app.Activity
import android.os.Bundle
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Button
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.ScrollView
import android.widget.Spinner
import android.widget.TextView
import edge.model.AssetFiles
import edge.model.Model
import edge.model.Options
import edge.model.Provider
import edge.model.SelfTest
import edge.model.openModel
import java.util.concurrent.Executors
import org.json.JSONArray
import org.json.JSONObject

/** Takes a text or JSON, and shows the result, how long it took, and where it ran. */
class MainActivity : Activity() {
    private val worker = Executors.newSingleThreadExecutor()
    private lateinit var input: EditText
    private lateinit var output: TextView
    private var model: Model? = null // touched by the worker alone

    @Volatile
    private var provider = Provider.XNNPACK

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        input = EditText(this)
        output = TextView(this).apply { setTextIsSelectable(true) }
        val column = LinearLayout(this).apply { orientation = LinearLayout.VERTICAL }
        val padding = (16 * resources.displayMetrics.density).toInt()
        column.setPadding(padding, padding, padding, padding)
        column.addView(input)
        column.addView(providers())
        column.addView(button(R.string.run) { answer() })
        column.addView(button(R.string.self_test) { selfTest() })
        column.addView(ScrollView(this).apply { addView(output) })
        setContentView(column)
        inBackground {
            val document = opened().document
            val example = document.cases.first().item
            if (example != null) runOnUiThread { input.setText(example.toString()) }
            "${document.name}, ${document.variant}\n${opened().ranOn}"
        }
    }

    override fun onDestroy() {
        worker.execute { model?.close() }
        worker.shutdown()
        super.onDestroy()
    }

    private fun answer() {
        val written = input.text.toString()
        inBackground {
            val model = opened()
            val answer = model.answer(item(model, written))
            val time = getString(R.string.milliseconds, answer.milliseconds)
            "${answer.result.toString(2)}\n$time\n${answer.ranOn}"
        }
    }

    private fun selfTest() = inBackground { SelfTest.run(opened(), AssetFiles(assets)).toString() }

    /** A text as it is; pairs of texts, rows, pixels and tensors as JSON. */
    private fun item(model: Model, written: String): Any = when {
        model.document.cases.first().item is String -> written
        written.trimStart().startsWith("[") -> JSONArray(written)
        else -> JSONObject(written)
    }

    private fun opened(): Model =
        model ?: openModel(applicationContext, Options(provider)).also { model = it }

    private fun inBackground(work: () -> String) = worker.execute {
        val shown = try {
            work()
        } catch (error: Exception) { // whatever went wrong is shown, not hidden
            error.toString()
        }
        runOnUiThread { output.text = shown }
    }

    private fun button(label: Int, action: () -> Unit) = Button(this).apply {
        setText(label)
        setOnClickListener { action() }
    }

    private fun providers() = Spinner(this).apply {
        val names = Provider.entries.map { it.name }
        adapter = ArrayAdapter(context, android.R.layout.simple_spinner_dropdown_item, names)
        setSelection(provider.ordinal)
        onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
            override fun onItemSelected(list: AdapterView<*>?, row: View?, place: Int, id: Long) {
                val chosen = Provider.entries[place]
                if (chosen == provider) return
                provider = chosen
                inBackground {
                    model?.close()
                    model = null
                    opened().ranOn
                }
            }

            override fun onNothingSelected(list: AdapterView<*>?) = Unit
        }
    }
}
