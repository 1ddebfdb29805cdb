"""The model: VSE++'s encoders under another similarity. Names parts alone, so listing it imports no torch."""

from vsezoo.recipe import Override, Paper, Part, Recipe

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
