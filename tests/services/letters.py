"""Models that read letters, so that the two sides of a pair cut one text differently."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def reads_letters(model: Path, folder: Path, chat_template: str | None = None) -> Path:
    """A new folder with a copy of a model, whose tokenizer reads byte by byte."""
    folder.mkdir()
    for file in model.iterdir():
        if not file.name.startswith(("tokenizer", "chat_template")):
            (folder / file.name).write_bytes(file.read_bytes())
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: at for at, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=chat_template).save_pretrained(folder)
    return folder
