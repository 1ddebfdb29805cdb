"""Unifying visual-semantic embeddings with multimodal neural language models (Kiros, Salakhutdinov, Zemel; 2014).

The ancestor of all other models here. An image is one CNN feature q, a caption a sequence of words; a linear map and a
recurrent network map them into one space (section 2.2),

    x = W q + b,    v = h_T, the network's state after the last word,    s(x, v) = x · v with unit vectors,

trained so that a pair scores higher than its image with other captions, and than its caption with other images
(the same section),

    Σ_k max(0, α - s(x, v) + s(x, v_k)) + Σ_k max(0, α - s(v, x) + s(v, x_k)).

Three recipes. The paper's network is an LSTM, of which no code was released; linxd5's port in PyTorch has one. The
authors' release in Theano has a GRU, or sums word vectors:

    kiros-lstm  linxd5/VSE_Pytorch: word vectors from N(0, 1), both sides normalised, torch's Adam, early stop
    kiros-gru   ryankiros/visual-semantic-embedding: orthogonal init, images normalised at test only, its own Adam
    kiros-bow   the same with a sum of word vectors, whose width must be that of the embedding

Unexpected behaviour of the originals, and the option that reproduces it:

    a batch holds captions of one length               training.batches=lengths
    words are split at spaces, without cleaning         text_encoder.words=split
    one step more, with the id of <eos>                 part of words=split
    the two rarest words are treated as unknown         text_encoder.off_by_two
    images are not normalised in training               image_encoder.normalize_in_training=false
    Adam with hardly any correction of its bias         optimizer=theano_adam
    weight decay over all parameters                    training.weight_decay (off, as in the release)
    captions above 100 words are left out               training.max_words (not in linxd5's port)
    negatives are the next 100 pairs of the batch       loss.ncon=100 (the first release, of September 2015, with a
                                                        learning rate of 0.01; later the whole batch)
"""

from vsezoo.recipe import Override, Paper, Part, PublishedResult, Recipe, TrainingSettings

PAPER = Paper(
    title="Unifying Visual-Semantic Embeddings with Multimodal Neural Language Models",
    authors="Kiros, Salakhutdinov, Zemel",
    year=2014,
    venue="arXiv",
    url="https://arxiv.org/abs/1411.2539",
)

INDEX = "Paranioar/Awesome_Matching_Pretraining_Transfering, performance.md"
RELEASE = "README of ryankiros/visual-semantic-embedding"
PORT = "README of linxd5/VSE_Pytorch"

SHAPES = {
    "embed_size": 256,
    "training.num_epochs": 5,
    "schedule.every": 4,
    "training.val_step": 0,
}
SHAPES_REASON = "a small data set: a narrow embedding and a fast schedule train in under two minutes on two cores"

lstm = Recipe(
    name="kiros-lstm",
    summary="LSTM sentences and linear CNN features, sum of hinges: the paper's model in linxd5's port.",
    image_encoder=Part("precomp", {"init": "xavier_normal"}),
    text_encoder=Part(
        "lstm", {"word_dim": 1000, "words": "split", "vocab_threshold": 1, "off_by_two": True, "init": "torch"}
    ),
    similarity=Part("cosine"),
    loss=Part("hinge"),
    embed_size=1000,
    training=TrainingSettings(
        learning_rate=1e-3,
        schedule=Part("step", {"factor": 1.0}),
        batches="lengths",
        val_step=100,
        select_mid_epoch=True,
        patience=10,
    ),
    overrides={
        "shapes": Override({**SHAPES, "text_encoder.word_dim": 300, "schedule.factor": 0.1}, SHAPES_REASON),
        "f8k_precomp": Override(
            {
                "image_encoder.center": True,
                "text_encoder.vocab_threshold": 4,
                "training.num_epochs": 6,
                "schedule.every": 4,
                "schedule.factor": 0.1,
            },
            "features that share a large mean are centred; words that occur fewer than four times cannot be learned "
            "from 6,000 images; a tenth of the rate after four epochs, when the dev figures stop rising",
        ),
        "f30k_precomp": Override(
            {"training.learning_rate": 0.01, "training.batch_size": 200}, "the setting of linxd5's README for Flickr30K"
        ),
        "coco_precomp": Override({"training.batch_size": 300}, "the setting of linxd5's script for COCO"),
    },
    paper=PAPER,
    published=(
        PublishedResult("f8k", (18.0, 40.9, 55.0), (12.5, 37.0, 51.5), "paper", 8.0, 10.0, features="VGG-19"),
        PublishedResult("f8k", (23.9, 49.1, 61.3), (16.9, 41.8, 54.4), PORT, 6.0, 9.0, features="VGG-19"),
        PublishedResult("f30k", (23.0, 50.7, 62.9), (16.8, 42.0, 56.5), "paper", 5.0, 8.0, features="VGG-19"),
        PublishedResult("f30k", (29.0, 57.7, 67.3), (21.5, 48.0, 59.0), PORT, 4.0, 6.0, features="VGG-19"),
        PublishedResult(
            "coco", (38.1, 72.7, 84.7), (31.7, 67.9, 81.2), PORT, 2.0, 3.0, "VGG-19", "one fold of 1,000 images"
        ),
    ),
)

gru = Recipe(
    name="kiros-gru",
    summary="GRU sentences and linear CNN features, sum of hinges: the authors' release in Theano.",
    image_encoder=Part("precomp", {"normalize_in_training": False}),
    text_encoder=Part("gru", {"words": "split", "vocab_threshold": 1, "off_by_two": True, "init": "orthogonal"}),
    similarity=Part("cosine"),
    loss=Part("hinge"),
    training=TrainingSettings(
        optimizer=Part("theano_adam"),
        schedule=Part("step", {"factor": 1.0}),
        num_epochs=15,
        batches="lengths",
        max_words=100,
        val_step=100,
        select_mid_epoch=True,
    ),
    overrides={
        "shapes": Override({**SHAPES, "training.learning_rate": 1e-3, "schedule.factor": 0.1}, SHAPES_REASON),
        "f8k_precomp": Override(
            {
                "image_encoder.center": True,
                "text_encoder.vocab_threshold": 4,
                "training.learning_rate": 5e-4,
                "training.num_epochs": 5,
                "schedule.every": 4,
                "schedule.factor": 0.1,
            },
            "a higher rate that drops once, for a third of the epochs; features that share a large mean are centred; "
            "words that occur fewer than four times cannot be learned from 6,000 images",
        ),
    },
    paper=PAPER,
    published=(
        PublishedResult("f8k", (22.3, 48.7, 59.8), (14.9, 38.3, 51.6), RELEASE, 6.0, 10.0, features="VGG-19"),
        PublishedResult("f30k", (29.8, 58.4, 70.5), (22.0, 47.9, 59.3), RELEASE, 4.0, 6.0, features="VGG-19"),
        PublishedResult(
            "coco", (43.4, 75.7, 85.8), (31.0, 66.7, 79.9), RELEASE, 2.0, 3.0, "VGG-19", "one fold of 1,000 images"
        ),
    ),
)

bow = Recipe(
    name="kiros-bow",
    summary="Sums of word vectors and linear CNN features, sum of hinges: the release's other encoder.",
    image_encoder=gru.image_encoder,
    text_encoder=Part("bow", {"words": "split", "vocab_threshold": 1, "off_by_two": True, "init": "orthogonal"}),
    similarity=gru.similarity,
    loss=gru.loss,
    training=gru.training,
    overrides=gru.overrides,
    paper=PAPER,
)
