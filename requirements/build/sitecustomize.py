"""What pyradiomics' build asks of Python's configparser, which Python 3.12 took away.

Its ``setup.py`` (3.0.1, the last that installs) reads ``setup.cfg`` by two old names. tox has this
folder on the path, so that it builds on Python 3.12 and later too; elsewhere set
``PYTHONPATH=requirements/build`` for the installation.
"""

import configparser

if not hasattr(configparser, "SafeConfigParser"):
    configparser.SafeConfigParser = configparser.ConfigParser
    configparser.RawConfigParser.readfp = configparser.RawConfigParser.read_file
