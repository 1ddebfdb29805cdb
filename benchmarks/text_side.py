"""Time and memory of the text side of a pretrained CLIP, as a second search loads it: random weights, ViT-B/32's shape.

    python benchmarks/text_side.py

The first process opens the folder and keeps what a search needs; the second is measured, from `import torch` on.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from figures import Figure, Report, make_parser

MAKE = """
import sys, torch, transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
folder = sys.argv[1]
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "dog"]
pieces = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
pieces.pre_tokenizer = pre_tokenizers.Whitespace()
ends = [("[CLS]", 2), ("[SEP]", 3)]
pieces.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "eos_token": "[SEP]", "model_max_length": 77}
transformers.PreTrainedTokenizerFast(tokenizer_object=pieces, **marks).save_pretrained(folder)
text = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
transformers.CLIPModel(transformers.CLIPConfig(text_config=text)).save_pretrained(folder)
transformers.CLIPImageProcessor().save_pretrained(folder)
"""

MEASURE = """
import resource, sys, time, torch
start, clock = time.process_time(), time.perf_counter()
memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = memory()
from vsezoo.checkpoints.opened import Checkpoint
Checkpoint.open(sys.argv[1]).text_side().encode_texts(["a dog"])
print(time.process_time() - start, time.perf_counter() - clock, memory(), before)
"""


def main() -> None:
    """Make the folder, open it once, and measure the second time."""
    options = make_parser(__doc__).parse_args()
    with Report(options) as report, tempfile.TemporaryDirectory() as temporary:
        folder = str(Path(temporary, "clip"))
        for program in (MAKE, MEASURE, MEASURE):
            done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
        processor, wall, peak, before = map(float, done.stdout.split())
        report.show(
            f"{processor:.2f} s of processor time, {wall:.2f} s by the clock, "
            f"peak memory {peak:.0f} MB, of which {before:.0f} MB are torch's",
            Figure("processor", processor, "s"),
            Figure("wall", wall, "s"),
            Figure("peak memory", peak, "MB"),
            Figure("memory of torch", before, "MB"),
        )


if __name__ == "__main__":
    main()
