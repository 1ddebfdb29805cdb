"""Why a model gives an image and a caption their score: attention of words and regions, or gradients of the score."""
