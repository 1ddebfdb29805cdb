"""Write data sets of pictures in the forms of the field: folders, shards, Parquet, Karpathy's JSON."""
