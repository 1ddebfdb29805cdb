"""Order-embeddings (Vendrov, Kiros, Fidler, Urtasun; ICLR 2016), and a port of them to Flickr8K."""
