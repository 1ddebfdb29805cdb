"""Pretrained dual encoders by name.

The repositories are those that open_clip 3.3 (`pretrained.py`) and the documentation of transformers 5.24 name.
Revisions and digests are not known here: the newest revision is used, and printed. Sizes are those of the parameters in
float32, which the downloaded file need not be in. The published figures are zero-shot: the share of queries with a
right answer in the first place, from open_clip's `docs/openclip_retrieval_results.csv`.
"""

from __future__ import annotations

from typing import Any

from vsezoo.recipe import Pretrained, PublishedResult

OPEN_CLIP = "open_clip"
SOURCE = "open_clip, docs/openclip_retrieval_results.csv: zero-shot"
Figures = tuple[float, float, float, float]
"""R@1 in percent: Flickr30K text to image, image to text, COCO text to image, image to text."""


def _record(
    name: str, repository: str, pixels: int, size_mb: float = 0, figures: Figures | None = None, **more: Any
) -> Pretrained:
    model, _, data = name.partition(".")
    more.setdefault("format", OPEN_CLIP)
    recipe = "open-clip" if more["format"] == OPEN_CLIP else "clip"
    known = {"recipe": recipe, "model": model, "data": data, "sha256": "", "pixels": pixels, "size_mb": size_mb}
    return Pretrained(name=name, reference=f"hub:{repository}", figures=_list(figures), **{**known, **more})


def _list(figures: Figures | None) -> tuple[PublishedResult, ...]:
    if figures is None:
        return ()
    return tuple(
        PublishedResult(data, (i2t, None, None), (t2i, None, None), SOURCE)
        for data, t2i, i2t in (("f30k", *figures[:2]), ("coco", *figures[2:]))
    )


clip_vit_b32_openai = _record(
    "clip-vit-b32.openai",
    "openai/clip-vit-base-patch32",
    224,
    605,
    (58.8, 78.9, 30.4, 50.1),
    format="transformers",
    settings={"text_encoder.clean": "lower"},
    notes="Captions are cleaned as OpenAI's code does.",
)
clip_vit_b16_openai = _record(
    "clip-vit-b16.openai", "timm/vit_base_patch16_clip_224.openai", 224, 598, (62.2, 82.2, 33.1, 52.4)
)
clip_vit_l14_openai = _record(
    "clip-vit-l14.openai", "timm/vit_large_patch14_clip_224.openai", 224, 1710, (65.0, 85.2, 36.5, 56.3)
)
clip_vit_l14_336_openai = _record(
    "clip-vit-l14-336.openai", "timm/vit_large_patch14_clip_336.openai", 336, 1712, (66.9, 87.7, 37.1, 57.9)
)
clip_vit_b32_laion2b = _record(
    "clip-vit-b32.laion2b", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", 224, 605, (66.8, 84.1, 39.3, 56.3)
)
clip_vit_b16_laion2b = _record(
    "clip-vit-b16.laion2b", "laion/CLIP-ViT-B-16-laion2B-s34B-b88K", 224, 598, (69.8, 86.3, 42.3, 59.4)
)
clip_vit_l14_laion2b = _record(
    "clip-vit-l14.laion2b", "laion/CLIP-ViT-L-14-laion2B-s32B-b82K", 224, 1710, (75.5, 89.5, 46.5, 63.4)
)
clip_vit_l14_datacomp = _record(
    "clip-vit-l14.datacomp", "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K", 224, 1710, (73.4, 89.0, 45.7, 63.3)
)
clip_vit_h14_laion2b = _record(
    "clip-vit-h14.laion2b", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", 224, 3944, (77.6, 90.7, 49.5, 65.9)
)
clip_vit_bigg14_laion2b = _record(
    "clip-vit-bigg14.laion2b", "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", 224, 10158, (79.6, 92.9, 51.4, 67.4)
)
clip_vit_b16_dfn2b = _record("clip-vit-b16.dfn2b", "apple/DFN2B-CLIP-ViT-B-16", 224, 598, (69.1, 85.4, 43.4, 60.4))
clip_vit_h14_378_dfn5b = _record(
    "clip-vit-h14-378.dfn5b", "apple/DFN5B-CLIP-ViT-H-14-378", 378, 3947, (82.0, 94.0, 55.6, 71.9)
)
siglip_base_webli = _record("siglip-base.webli", "timm/ViT-B-16-SigLIP", 224, 813, (74.7, 89.1, 47.8, 65.7))
siglip_so400m_384_webli = _record(
    "siglip-so400m-384.webli", "timm/ViT-SO400M-14-SigLIP-384", 384, 3512, (83.0, 94.3, 54.2, 72.4)
)
siglip2_base_webli = _record("siglip2-base.webli", "google/siglip2-base-patch16-224", 224, 1501, format="transformers")
metaclip2_huge_worldwide = _record(
    "metaclip2-huge.worldwide", "facebook/metaclip-2-worldwide-huge-quickgelu", 0, format="transformers"
)
align_base_kakaobrain = _record("align-base.kakaobrain", "kakaobrain/align-base", 0, format="transformers")
altclip_baai = _record("altclip.baai", "BAAI/AltCLIP", 0, format="transformers")
chinese_clip_vit_b16_ofa = _record(
    "chinese-clip-vit-b16.ofa",
    "OFA-Sys/chinese-clip-vit-base-patch16",
    0,
    format="transformers",
    languages=("zh",),
)
blip_itm_base_coco = _record("blip-itm-base.coco", "Salesforce/blip-itm-base-coco", 0, format="transformers")
blip2_itm_vit_g_lavis = _record(
    "blip2-itm-vit-g.lavis", "Salesforce/blip2-itm-vit-g", 0, format="transformers", recipe="blip-2"
)
