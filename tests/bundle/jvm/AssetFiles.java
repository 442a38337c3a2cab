package edge.model;

import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import android.content.res.AssetManager;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * In place of the library's own: onnxruntime 1.17.0 makes sessions of an array of bytes, and of a
 * ByteBuffer not yet. Assets are the files of the folder that the property `assets` names.
 */
public final class AssetFiles implements ModelFiles {
  public AssetFiles(AssetManager assets) {}

  public ByteBuffer content(String name) {
    return ByteBuffer.wrap(bytes(name));
  }

  public OrtSession session(
      OrtEnvironment environment, String graph, OrtSession.SessionOptions settings) {
    try {
      return environment.createSession(bytes(graph), settings);
    } catch (OrtException error) {
      throw new IllegalStateException(error);
    }
  }

  private static byte[] bytes(String name) {
    try {
      return Files.readAllBytes(Path.of(System.getProperty("assets"), name));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
