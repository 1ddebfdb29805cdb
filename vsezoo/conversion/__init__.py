"""Safe readers for the files of other codebases, of which nothing is ever executed.

    pickles.py      read_pickle: options, dictionaries and vocabularies, of Python 2 and 3
    torch_files.py  read_torch: what `torch.save` wrote, as a zip archive or in the older form
    arrays.py       read_npz, read_npy: what `numpy.savez` and `numpy.save` wrote
    vocabulary.py   read_vocabulary: the words of a vocabulary in the order of their ids
    importer.py     Importer: what makes a model of such files
    state_dicts.py  checkpoints of VSE++ and of the codebases made from it; namespace.py has their options

Whatever is wrong with a file becomes one `CheckpointError`. A file may be made to harm: what it asks for is checked
against its own size before memory is taken, and a name that it refers to is looked up in `contents.ALLOWED`, never
imported.
"""
