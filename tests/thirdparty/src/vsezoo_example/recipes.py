"""The models. They name parts alone, so listing them imports no torch."""

from vsezoo.recipe import Override, Paper, Part, Recipe, Training

euclid = Recipe(
    name="example-euclid",
    summary="GRU sentences and linear CNN features, compared by Euclidean distance.",
    image_encoder=Part("precomp"),
    text_encoder=Part("gru"),
    similarity=Part("euclid", {"squared": True}),
    loss=Part("hinge", {"max_violation": True}),
    overrides={"f8k_precomp": Override({"training.batch_size": 64}, "The data set is small.")},
    paper=Paper("An example", "A. Author and B. Author", 2024, "nowhere"),
)

gated = Recipe(
    name="example-gated",
    summary="Gated regions and sums of letters, pulled together by a soft hinge.",
    image_encoder=Part("example-gated"),
    text_encoder=Part("example-letters"),
    similarity=Part("euclid"),
    loss=Part("example-soft-hinge", {"margin": 0.3}),
    embed_size=32,
    training=Training(batch_size=64, learning_rate=5e-3, num_epochs=8, val_step=0),
)
