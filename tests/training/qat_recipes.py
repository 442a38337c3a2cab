"""Recipes for quantization-aware training: a BERT of a few thousand weights, and the refused."""

from tests.training.tiny import IMAGE, TEXT

BERT = (
    TEXT.replace(
        "from torch import nn\n",
        "from torch import nn\nfrom transformers import BertConfig, BertModel\n",
    )
    .replace(
        TEXT[TEXT.index("class Net") : TEXT.index("def load")],
        '''class Net(nn.Module):
    """models/sentiment_bert, smaller: mean of the token states, dropout, two logits."""

    def __init__(self, words):
        super().__init__()
        config = BertConfig(
            vocab_size=2**12,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
        )
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(0.1)
        self.logits = nn.Linear(32, 2)

    def forward(self, input_ids, attention_mask):
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        real = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * real).sum(1) / real.sum(1).clamp(min=1)
        return self.logits(self.dropout(mean))


''',
    )
    .replace("* 8,", "* 32,")
    .replace("* 8))", "* 32))")
    .replace("learning_rate=0.1, batch_size=4, max_epochs=3", "learning_rate=1e-3, batch_size=8")
    .replace("batch_size=8", "batch_size=8, max_epochs=2, qat_epochs=2")
    .replace("max_length=8", "max_length=32")
)
"""The word embeddings have 131,072 numbers, enough to become int8."""

LSTM = TEXT.replace(
    "self.logits = nn.Linear(4, 2)",
    "self.lstm, self.logits = nn.LSTM(4, 4, batch_first=True), nn.Linear(4, 2)",
).replace("(self.embedding(input_ids) * real)", "(self.lstm(self.embedding(input_ids))[0] * real)")

NO_PRODUCT = IMAGE.replace(
    "self.logits = nn.Linear(4, 2)", "self.scale = nn.Parameter(torch.ones(2))"
).replace("self.logits(image.flatten(1) / 255)", "self.scale * image.flatten(1)[:, :2] / 255")

BRANCHES = IMAGE.replace(
    "return self.logits(image.flatten(1) / 255)",
    "image = image / 255 if image.max() > 1 else image\n"
    "        return self.logits(image.flatten(1))",
)
