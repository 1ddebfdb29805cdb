"""Light models of frozen features: heads with a residual perceptron and dropout, for few images and little time."""
