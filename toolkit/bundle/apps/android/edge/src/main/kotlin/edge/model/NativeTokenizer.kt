package edge.model

/** The tokenizer in C, `src/main/cpp`, which holds the model's vocabulary. */
class NativeTokenizer : Tokenizer {
    override fun encode(first: String, second: String?, longest: Int): Tokens {
        val made = encode(first.toByteArray(), second?.toByteArray(), longest)
        val count = made.size / 2 // the ids, then the types
        return Tokens(made.copyOfRange(0, count), made.copyOfRange(count, made.size))
    }

    private external fun encode(first: ByteArray, second: ByteArray?, longest: Int): IntArray

    private companion object {
        init {
            System.loadLibrary("edge_tokenizer")
        }
    }
}
