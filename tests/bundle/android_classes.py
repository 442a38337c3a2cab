"""Stand-ins of Android's classes, to compile against where there is no Android SDK.

Those that the test on a device uses work; the property `assets` names the folder `model/`.
"""

from pathlib import Path

# What the sources use of Android, with the types of its reference; the activity never runs.
ANDROID = {
    "android.app.Activity": """public class Activity extends android.content.Context {
        protected void onCreate(android.os.Bundle state) {}
        protected void onDestroy() {}
        public void setContentView(android.view.View view) {}
        public final void runOnUiThread(Runnable action) {}
    }""",
    "android.content.Context": """public abstract class Context {
        public android.content.res.AssetManager getAssets() {
            return new android.content.res.AssetManager();
        }
        public android.content.res.Resources getResources() { return null; }
        public Context getApplicationContext() { return null; }
        public java.io.File getCacheDir() {
            return new java.io.File(System.getProperty("assets")).getAbsoluteFile().getParentFile();
        }
        public final String getString(int id, Object... values) { return null; }
    }""",
    "android.content.res.Resources": """public class Resources {
        public android.util.DisplayMetrics getDisplayMetrics() { return null; }
    }""",
    "android.util.DisplayMetrics": "public class DisplayMetrics { public float density; }",
    "android.content.res.AssetManager": """public final class AssetManager {
        public AssetFileDescriptor openFd(String name) throws java.io.IOException { return null; }
    }""",
    "android.content.res.AssetFileDescriptor": """public class AssetFileDescriptor
        implements java.io.Closeable {
        public java.io.FileDescriptor getFileDescriptor() { return null; }
        public long getStartOffset() { return 0; }
        public long getLength() { return 0; }
        public void close() {}
    }""",
    "android.app.Instrumentation": """public class Instrumentation {
        public android.content.Context getTargetContext() {
            return new android.content.Context() {};
        }
    }""",
    "android.util.Log": """public final class Log {
        public static int i(String tag, String message) { return 0; }
    }""",
    "androidx.test.platform.app.InstrumentationRegistry": """
    public final class InstrumentationRegistry {
        public static android.app.Instrumentation getInstrumentation() {
            return new android.app.Instrumentation();
        }
    }""",
    "androidx.test.ext.junit.runners.AndroidJUnit4": """
    public final class AndroidJUnit4 extends org.junit.runner.Runner {}""",
    "org.junit.runner.Runner": "public abstract class Runner {}",
    "org.junit.runner.RunWith": """public @interface RunWith {
        Class<? extends Runner> value();
    }""",
    "org.junit.Test": "public @interface Test {}",
    "org.junit.Assert": """public class Assert {
        public static void assertTrue(String message, boolean condition) {
            if (!condition) throw new AssertionError(message);
        }
    }""",
    "org.junit.AssumptionViolatedException": """
    public class AssumptionViolatedException extends RuntimeException {
        public AssumptionViolatedException(String message) { super(message); }
    }""",
    "org.junit.Assume": """public class Assume {
        public static void assumeTrue(String message, boolean condition) {
            if (!condition) throw new AssumptionViolatedException(message);
        }
    }""",
    "android.system.ErrnoException": "public final class ErrnoException extends Exception {}",
    "android.system.Os": """public final class Os {
        public static void setenv(String name, String value, boolean overwrite)
            throws ErrnoException {}
    }""",
    "android.os.Bundle": "public final class Bundle {}",
    "android.view.View": """public class View {
        public interface OnClickListener { void onClick(View view); }
        public View(android.content.Context context) {}
        public void setOnClickListener(OnClickListener listener) {}
        public void setPadding(int left, int top, int right, int bottom) {}
        public final android.content.Context getContext() { return null; }
    }""",
    "android.view.ViewGroup": """public abstract class ViewGroup extends View {
        public ViewGroup(android.content.Context context) { super(context); }
        public void addView(View child) {}
    }""",
    "android.widget.LinearLayout": """public class LinearLayout extends android.view.ViewGroup {
        public static final int VERTICAL = 1;
        public LinearLayout(android.content.Context context) { super(context); }
        public void setOrientation(int orientation) {}
        public int getOrientation() { return 0; }
    }""",
    "android.widget.ScrollView": """public class ScrollView extends android.view.ViewGroup {
        public ScrollView(android.content.Context context) { super(context); }
    }""",
    "android.widget.TextView": """public class TextView extends android.view.View {
        public TextView(android.content.Context context) { super(context); }
        public final void setText(CharSequence text) {}
        public final void setText(int id) {}
        public CharSequence getText() { return null; }
        public void setTextIsSelectable(boolean selectable) {}
    }""",
    "android.widget.EditText": """public class EditText extends TextView {
        public EditText(android.content.Context context) { super(context); }
    }""",
    "android.widget.Button": """public class Button extends TextView {
        public Button(android.content.Context context) { super(context); }
    }""",
    "android.widget.Adapter": "public interface Adapter {}",
    "android.widget.SpinnerAdapter": "public interface SpinnerAdapter extends Adapter {}",
    "android.widget.ArrayAdapter": """public class ArrayAdapter<T> implements SpinnerAdapter {
        public ArrayAdapter(android.content.Context context, int row, java.util.List<T> items) {}
    }""",
    "android.widget.AdapterView": """public abstract class AdapterView<T extends Adapter>
        extends android.view.ViewGroup {
        public interface OnItemSelectedListener {
            void onItemSelected(AdapterView<?> list, android.view.View row, int place, long id);
            void onNothingSelected(AdapterView<?> list);
        }
        public AdapterView(android.content.Context context) { super(context); }
        public abstract T getAdapter();
        public abstract void setAdapter(T adapter);
        public void setSelection(int place) {}
        public void setOnItemSelectedListener(OnItemSelectedListener listener) {}
        public final OnItemSelectedListener getOnItemSelectedListener() { return null; }
    }""",
    "android.widget.Spinner": """public class Spinner extends AdapterView<SpinnerAdapter> {
        public Spinner(android.content.Context context) { super(context); }
        public SpinnerAdapter getAdapter() { return null; }
        public void setAdapter(SpinnerAdapter adapter) {}
    }""",
    "android.R": """public final class R { public static final class layout {
        public static final int simple_spinner_dropdown_item = 1; } }""",
    "edge.app.R": """public final class R { public static final class string {
        public static final int run = 1, self_test = 2, milliseconds = 3; } }""",
}


def write_android(folder: Path) -> list[Path]:
    """The Java files of those classes."""
    files = []
    for name, body in ANDROID.items():
        package, _, simple = name.rpartition(".")
        file = folder / package.replace(".", "/") / f"{simple}.java"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"package {package};\n{body}\n")
        files.append(file)
    return files
