from ._decision import Bar as Bar
from ._decision import Decision as Decision
from ._decision import Quote as Quote
from ._desk import Desk as Desk
from ._signals import AlwaysLong as AlwaysLong
from ._signals import Momentum as Momentum
from ._signals import Signal as Signal
