"""Kiros, Salakhutdinov and Zemel (2014), in its Theano release and in linxd5's port to PyTorch."""
