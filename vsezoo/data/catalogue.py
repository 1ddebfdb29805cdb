"""The standard data sets of the field: features and pictures. Imports neither torch nor numpy."""

from __future__ import annotations

from functools import partial

from vsezoo.data.pictures.layouts.coco import find_coco
from vsezoo.data.pictures.layouts.flickr import find_flickr8k, find_flickr30k
from vsezoo.data.pictures.layouts.karpathy import find_karpathy
from vsezoo.data.pictures.source import PictureSource
from vsezoo.data.precomputed.source import PrecomputedSource

VSEPP_ORIGIN = (
    "data.tar of VSE++ (Faghri et al. 2018), www.cs.toronto.edu/~faghri/vsepp/. Mind the terms of the images: "
)
SCAN_ORIGIN = (
    "region features: those of SCAN (Lee et al. 2018), the Kaggle data set kuanghueilee/scan-features (about 34 GB)."
)
KIROS_ORIGIN = (
    "archive {name}.zip of Kiros et al. 2014 (visual-semantic-embedding), www.cs.toronto.edu/~rkiros/, "
    "which is not always up. Mind the terms of the images: "
)
KARPATHY_ORIGIN = "The JSON is that of Karpathy and Fei-Fei 2015. "
FLICKR_TERMS = "Flickr pictures, for non-commercial research."
COCO_TERMS = "those of the MS-COCO web site."

f8k_precomp = PrecomputedSource(
    name="f8k_precomp",
    summary="Flickr8K, one vector for each image (6,000/1,000/1,000 images)",
    origin=VSEPP_ORIGIN + FLICKR_TERMS,
    kinds=("vector",),
)
f8k_regions = PrecomputedSource(
    name="f8k_regions",
    summary="Flickr8K, 36 regions of a grid over each picture, of a CNN's last feature map",
    origin=f"made from the pictures by `vsezoo features --grid`, see docs/results.md. {FLICKR_TERMS}",
    kinds=("regions",),
)
f30k_precomp = PrecomputedSource(
    name="f30k_precomp",
    summary="Flickr30K, one vector or 36 regions for each image (29,000/1,014/1,000 images)",
    origin=f"vectors: {VSEPP_ORIGIN}{FLICKR_TERMS} Or {SCAN_ORIGIN}",
)
coco_precomp = PrecomputedSource(
    name="coco_precomp",
    summary="MS-COCO, one vector, or 36 regions (113,287/5,000/1,000 images, testall 5,000), for each image",
    origin=f"vectors: {VSEPP_ORIGIN}{COCO_TERMS} Or {SCAN_ORIGIN}",
    splits=("train", "dev", "test", "testall"),
)
coco_10crop_precomp = PrecomputedSource(
    name="10crop_precomp",
    summary="MS-COCO, VGG-19 features averaged over ten crops (Vendrov et al. 2016), one vector for each image",
    origin=f"{VSEPP_ORIGIN}{COCO_TERMS} First made for order-embeddings: www.cs.toronto.edu/~vendrov/order/.",
    kinds=("vector",),
)
f8k = PrecomputedSource(
    name="f8k",
    summary="Flickr8K, VGG-19 features and tokenised captions of Kiros et al. 2014",
    origin=KIROS_ORIGIN.format(name="f8k") + FLICKR_TERMS,
    kinds=("vector",),
    prefix="f8k_",
)
f30k = PrecomputedSource(
    name="f30k",
    summary="Flickr30K, VGG-19 features and tokenised captions of Kiros et al. 2014",
    origin=KIROS_ORIGIN.format(name="f30k") + FLICKR_TERMS,
    kinds=("vector",),
    prefix="f30k_",
)
coco = PrecomputedSource(
    name="coco",
    summary="MS-COCO (train2014), VGG-19 features and tokenised captions of Kiros et al. 2014",
    origin=KIROS_ORIGIN.format(name="coco") + COCO_TERMS,
    kinds=("vector",),
    prefix="coco_",
)
flickr8k = PictureSource(
    name="flickr8k",
    summary="Flickr8K, the pictures themselves (6,000/1,000/1,000 images)",
    origin=f"on request from its authors, Hodosh, Young and Hockenmaier 2013. {KARPATHY_ORIGIN}{FLICKR_TERMS}",
    layouts=(partial(find_karpathy, pattern="dataset_flickr8k.json"), find_flickr8k),
    wanted="pictures, and dataset_flickr8k.json or Flickr8k.token.txt with Flickr_8k.trainImages.txt, "
    "Flickr_8k.devImages.txt, Flickr_8k.testImages.txt",
)
flickr30k = PictureSource(
    name="flickr30k",
    summary="Flickr30K, the pictures themselves (29,000/1,014/1,000 images)",
    origin="on request from its authors, Young, Lai, Hodosh and Hockenmaier 2014; the lists are those of Flickr30K "
    f"Entities, Plummer et al. 2015. {KARPATHY_ORIGIN}{FLICKR_TERMS}",
    layouts=(partial(find_karpathy, pattern="dataset_flickr30k.json"), partial(find_flickr30k, may_draw=False)),
    wanted="pictures, and dataset_flickr30k.json or results_20130124.token (or results.csv) with train.txt, val.txt, "
    "test.txt",
)
coco2014 = PictureSource(
    name="coco2014",
    summary="MS-COCO 2014, the pictures themselves (82,783/5,000/5,000 images, restval 30,504)",
    origin="cocodataset.org; the ids are in the data.tar of VSE++ (Faghri et al. 2018). "
    f"{KARPATHY_ORIGIN}Mind the terms of the images: {COCO_TERMS}",
    splits=("train", "dev", "test", "restval"),
    layouts=(partial(find_karpathy, pattern="dataset_coco.json"), find_coco),
    wanted="train2014, val2014, and dataset_coco.json or annotations/captions_train2014.json, "
    "annotations/captions_val2014.json, annotations/coco_train_ids.npy (and dev, test, restval)",
)
