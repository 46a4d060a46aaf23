"""`NeuralRegimeFilter`: Mamba trained to say what Bayes' rule says, at the cost of one step of a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from companion._checks import Floats, Labels
from companion.regimes._confidence import PlattCalibration
from companion.regimes._hysteresis import ENTER, LEAVE
from companion.regimes._latent import LatentFilter

if TYPE_CHECKING:
    from companion.mamba import MarketMamba

_PRETRAINED = Path(__file__).parent / "pretrained"


class NeuralRegimeFilter(LatentFilter):
    """An amortized Bayes filter: P(chaos | returns so far) by one step of a network a bar.

    The network has learned the map from past to posterior on simulated markets, whose regimes are known
    (`companion.regimes._filter_training`). Start with `load_pretrained`; `fit` adapts it to other paths.

    Parameters
    ----------
    model : MarketMamba, optional
        A network whose single output is the log-odds of chaos; without one, the shipped `equity_index`.
    steps : int, default=200
        Steps of training that `fit` takes where it is given the true regimes.
    enter, leave, warm_up, seed
        See `RegimeFilter`.

    Attributes
    ----------
    model_ : MarketMamba
        The network in use.
    calibration_ : PlattCalibration
        From its log-odds to the probability.
    """

    def __init__(
        self,
        model: "MarketMamba | None" = None,
        *,
        steps: int = 200,
        enter: float = ENTER,
        leave: float = LEAVE,
        warm_up: int = 60,
        seed: int = 0,
    ) -> None:
        super().__init__(enter=enter, leave=leave, warm_up=warm_up, seed=seed)
        self.model = model
        self.steps = steps

    @classmethod
    def load_pretrained(cls, name: str = "equity_index", **settings: Any) -> Self:
        """A fitted filter that ships with the package, the same in every process.

        Parameters
        ----------
        name : {"equity_index", "universal"}
            Trained on the book's base market, or on markets drawn by `random_market`, whose parameters it infers from
            the past as it goes.
        **settings
            `enter`, `leave` and `warm_up`.

        Raises
        ------
        ValueError
            When there is no filter of that name.
        """
        return cls.from_network(_shipped(name), **settings)

    @classmethod
    def from_network(cls, model: "MarketMamba", **settings: Any) -> Self:
        """A fitted filter on a network that is calibrated already, as those of `train_filter` are.

        Parameters
        ----------
        model : MarketMamba
        **settings
            `enter`, `leave` and `warm_up`.
        """
        self = cls(model, **settings)
        self.model_, self.calibration_ = _single_output(model), PlattCalibration(slope=1.0, intercept=0.0)
        return self.reset()

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Train the network on labeled paths, if there are labels, and calibrate its log-odds.

        With `y`, the network goes on learning for `steps` steps from `model`, by cross-entropy, and is calibrated on
        the same paths; few paths are soon learned by heart. Without `y` the network stays as it is, since returns alone
        do not say what the regime was, and is calibrated on fresh paths of ``RegimeSwitchingHeston.equity_index()``.
        Arguments and errors are those of `RegimeFilter.fit`.
        """
        return super().fit(X, y)

    def _fit_recursion(self, paths: Floats, labels: Labels | None = None) -> None:
        from companion.mamba import TrainConfig, train

        self.model_ = start = _shipped("equity_index") if self.model is None else _single_output(self.model)
        if labels is not None and self.steps:
            length = min(512, paths.shape[1] - start.config.horizons[0])
            recipe = TrainConfig(
                start.config, steps=self.steps, length=length, learning_rate=1e-3, latent_noise=0.0, target="labels"
            )
            self.model_ = train(paths, recipe, seed=self.seed, labels=labels, model=start).model

    def _score(self, features: Floats) -> Floats:
        weight, bias = (p.detach().numpy().astype(np.float64) for p in self.model_.head.parameters())
        return np.asarray(features @ weight[0] + bias[0])

    def _confidence(self, features: Floats) -> Floats:
        return np.asarray(expit(-self._score(features)))


def _single_output(model: "MarketMamba") -> "MarketMamba":
    if len(model.config.horizons) != 1:
        raise ValueError(f"model: has {len(model.config.horizons)} outputs, expected one, the log-odds of chaos")
    return model


def _shipped(name: str) -> "MarketMamba":
    from companion.mamba import MarketMamba

    known = sorted(path.stem for path in _PRETRAINED.glob("*.safetensors"))
    if name not in known:
        raise ValueError(f"name: no shipped filter {name!r}; there are {', '.join(known)}")
    return MarketMamba.load(_PRETRAINED / f"{name}.safetensors")
