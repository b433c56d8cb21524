"""The verifier that goes into each dossier, in parts; :mod:`program` makes one file of them.

For any Python from 3.9 on and nothing but its standard library: the parts import only that and each other, by name.
"""
