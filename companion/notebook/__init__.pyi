from ._numbers import Numbers as Numbers
from ._numbers import told as told
from ._table import ShownTable as ShownTable
from ._table import show_table as show_table
from ._words import plus_minus as plus_minus
from ._words import signed_interval as signed_interval
from ._words import typeset as typeset
from ._words import with_interval as with_interval
