from decimal import Decimal

from companion import datasets, risk
from companion.desk import Desk
from companion.heston import WidePrior
from companion.regimes import NeuralRegimeFilter

bars = datasets.read_bars("prices.csv")
detector = NeuralRegimeFilter.load_pretrained("scale_free")
normal = WidePrior().simulate(n_paths=400, n_steps=560, seed=0)
monitor = risk.SafetyMonitor.for_detector(detector, normal.log_returns)
sizing = risk.SizingConfig(kappa=0.0005, gamma=2.0, f_max=1.0, sigma_target=0.01)
share = risk.InstrumentRules(size_precision=0, size_increment=Decimal(1))
desk = Desk(detector, monitor, sizing=sizing, instrument=share)
print(desk.run(bars, equity=Decimal(100_000))[-1])
