"""Safe readers for files of other codebases; nothing in them is ever executed.

    pickles.py      read_pickle: options, dictionaries and vocabularies, of Python 2 and 3
    torch_files.py  read_torch: files of `torch.save`, as a zip archive or in the older format
    arrays.py       read_npz, read_npy: files of `numpy.savez` and `numpy.save`
    vocabulary.py   read_vocabulary: the words of a vocabulary in the order of their ids
    importer.py     Importer: base class of importers, which turn such files into a model
    state_dicts.py  checkpoints of VSE++ and of codebases derived from it; argparse_options.py has their options

Any problem with a file becomes one `CheckpointError`. Files may be malicious: the memory that a file asks for is
checked against its own size before allocation, and names that it refers to are looked up in `pickle_contents.ALLOWED`,
never imported.
"""
