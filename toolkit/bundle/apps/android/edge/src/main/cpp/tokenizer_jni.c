/* edge.model.NativeTokenizer on top of tokenizer.c. */
#include <jni.h>
#include <stdlib.h>

#include "tokenizer.h"

extern const struct tokenizer_data tokenizer_data;

static jintArray fail(JNIEnv *env, const char *kind, const char *problem) {
  jclass type = (*env)->FindClass(env, kind);
  if (type != NULL) (*env)->ThrowNew(env, type, problem);
  return NULL;
}

/* Ids, then types. */
static jintArray as_array(JNIEnv *env, const struct tokens *made) {
  jsize count = (jsize)made->count;
  jintArray array = (*env)->NewIntArray(env, 2 * count);
  if (array == NULL) return NULL; /* an OutOfMemoryError is on its way */
  (*env)->SetIntArrayRegion(env, array, 0, count, (const jint *)made->ids);
  (*env)->SetIntArrayRegion(env, array, count, count, (const jint *)made->types);
  return array;
}

JNIEXPORT jintArray JNICALL Java_edge_model_NativeTokenizer_encode(JNIEnv *env, jobject self,
                                                                   jbyteArray first,
                                                                   jbyteArray second, jint longest) {
  (void)self;
  struct tokens made;
  enum tokenizer_status status = TOKENS_NO_MEMORY;
  jsize first_length = (*env)->GetArrayLength(env, first);
  jsize second_length = second == NULL ? 0 : (*env)->GetArrayLength(env, second);
  jbyte *one = (*env)->GetByteArrayElements(env, first, NULL);
  jbyte *two = second == NULL ? NULL : (*env)->GetByteArrayElements(env, second, NULL);
  if (one != NULL && (second == NULL || two != NULL))
    status = make_tokens(&tokenizer_data, (const char *)one, (size_t)first_length,
                         (const char *)two, (size_t)second_length, (size_t)longest, &made);
  if (two != NULL) (*env)->ReleaseByteArrayElements(env, second, two, JNI_ABORT);
  if (one != NULL) (*env)->ReleaseByteArrayElements(env, first, one, JNI_ABORT);
  if (status == TOKENS_NOT_UTF8) /* Kotlin's encoder writes none */
    return fail(env, "java/lang/IllegalArgumentException", "the text is not UTF-8");
  if (status != TOKENS_MADE)
    return fail(env, "java/lang/OutOfMemoryError", "no memory for the tokens");
  jintArray array = as_array(env, &made);
  free_tokens(&made);
  return array;
}
