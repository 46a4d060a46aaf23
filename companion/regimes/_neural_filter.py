"""`NeuralRegimeFilter`: Mamba trained to say what Bayes' rule says, at the cost of one step of a network."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from companion._checks import Floats, Labels, as_paths
from companion.regimes._confidence import PlattCalibration
from companion.regimes._features import Feature
from companion.regimes._filter import RegimeFilter
from companion.regimes._latent import Latent
from companion.regimes._ood import OutOfDistribution
from companion.regimes._rules import Linear, Rule

if TYPE_CHECKING:
    from companion.mamba import MarketMamba

_PRETRAINED = Path(__file__).parent / "pretrained"
SCALE_FREE = _PRETRAINED / "scale_free.safetensors"
OOD = _PRETRAINED / "ood.json"
_CALIBRATED = PlattCalibration(slope=1.0, intercept=0.0)
_LEVELS = {"scale_free": {"enter_chaos": 0.5, "leave_chaos": 0.25}}
"""Levels where they are not the default ones, under which it calls half of the bars chaos. On 120 development paths of
`WidePrior` it calls .25 so, where .25 are, with 3 false switches per 1,000 bars."""


@dataclass(eq=False, repr=False)
class NeuralRegimeFilter(RegimeFilter):
    """An amortized Bayes filter: P(chaos | returns so far) by one step of a network a bar.

    The network has learned the map from past to posterior on simulated markets, whose regimes are known
    (``companion.regimes._filter_training``). Start with `load_pretrained`; `fit` adapts it to other paths.

    Parameters
    ----------
    model : MarketMamba, optional
        A network whose single output is the log-odds of chaos; without one, the shipped `equity_index`.
    steps : int, default=200
        Steps of training that `fit` takes where it is given the true regimes.
    enter_chaos, leave_chaos, warm_up, seed
        See `RegimeFilter`.

    Attributes
    ----------
    model_ : MarketMamba
        The network in use.
    calibration_ : PlattCalibration
        From its log-odds to the probability.
    """

    model: "MarketMamba | None" = None
    steps: int = 200

    def _parts(self) -> tuple[Feature, Rule]:
        return _on_shipped("equity_index") if self.model is None else _on(_single_output(self.model))

    @property
    def model_(self) -> "MarketMamba":
        """The network in use."""
        return cast(Latent, self.feature_).model

    @classmethod
    def load_pretrained(cls, name: str = "equity_index", **settings: Any) -> Self:
        """A fitted filter that ships with the package, the same in every process.

        Parameters
        ----------
        name : {"equity_index", "universal", "scale_free"}
            Trained on the book's base market; on daily markets of stock indices drawn by
            `RegimeSwitchingHeston.random`; or on markets of any scale and any bar, drawn by
            `companion.heston.WidePrior`. The last two infer the market's parameters from the past as they go.
            "scale_free" reads returns in units of their own slow scale (``companion.mamba._scale``): returns × c give
            the same probabilities, and every scale is known. Where "universal" knows the scale, it knows more: the
            level of volatility tells a slow chaos from a calm. All three say what is unlike these markets
            (`RegimeReading.ood_p_value`); once fitted to other paths, a filter does not.
        **settings
            `enter_chaos`, `leave_chaos` and `warm_up`; "scale_free" has levels of its own, .5 and .25.

        Raises
        ------
        ValueError
            When there is no filter of that name.
        """
        feature, rule = _on_shipped(name)
        self = cls(feature.model, **_LEVELS.get(name, {}) | settings)
        return self._take(feature, rule, _CALIBRATED, "the markets of its training")

    @classmethod
    def from_network(cls, model: "MarketMamba", **settings: Any) -> Self:
        """A fitted filter on a network that is calibrated already, as those of `train_filter` are.

        Parameters
        ----------
        model : MarketMamba
        **settings
            `enter_chaos`, `leave_chaos` and `warm_up`.
        """
        self = cls(model, **settings)
        feature, rule = _on(_single_output(model))
        return self._take(feature, rule, _CALIBRATED, "the markets of its training")

    @property
    def judges_past(self) -> bool:
        """Whether `ood_p_value` is known: that of a shipped network as it was trained."""
        return cast(Latent, self.feature_).ood is not None

    def ood_p_value(self, X: ArrayLike) -> Floats:
        """`RegimeReading.ood_p_value` at every bar, of the shape of X.

        Raises
        ------
        ValueError
            When the network is not a shipped one as it was trained.
        """
        check_is_fitted(self, "calibration_")
        feature = cast(Latent, self.feature_)
        if feature.ood is None:
            raise ValueError(
                "the filter must be a shipped one, not fitted since: the markets of this one are not known"
            )
        paths, single = as_paths(X)
        p_values = feature.ood.p_values(feature.judged(paths))
        return p_values[0] if single else p_values

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Train the network on labeled paths, if there are labels, and calibrate its log-odds.

        With `y`, the network goes on learning for `steps` steps from `model`, by cross-entropy, and is calibrated on
        the same paths; few paths are soon learned by heart. Without `y` the network stays as it is, since returns alone
        do not say what the regime was, and is calibrated on fresh paths of ``RegimeSwitchingHeston.equity_index()``.
        Arguments and errors are those of `RegimeFilter.fit`.
        """
        return super().fit(X, y)

    def _fit_parts(self, paths: Floats, labels: Labels | None) -> tuple[Feature, Rule, Floats]:
        feature, rule = self._parts() if labels is None or not self.steps else self._taught(paths, labels)
        return feature, rule, feature.transform(paths)[:, self.warm_up :]

    def _taught(self, paths: Floats, labels: Labels) -> tuple[Feature, Rule]:
        """The parts, trained further on the paths and their true regimes."""
        from companion.mamba import TrainConfig, train

        start = cast(Latent, self._parts()[0]).model
        length = min(512, paths.shape[1] - start.config.horizons[0])
        recipe = TrainConfig(
            start.config,
            steps=self.steps,
            length=length,
            learning_rate=1e-3,
            latent_noise=0.0,
            target="labels",
            dtype=str(start.precision).removeprefix("torch."),
        )
        return _on(train(paths, recipe, seed=self.seed, labels=labels, model=start).model)


def _on(model: "MarketMamba", ood: OutOfDistribution | None = None) -> tuple[Latent, Linear]:
    """The parts of a filter on a network: its latent, and its head."""
    weight, bias = (parameter.detach().cpu().double().numpy() for parameter in model.head.parameters())
    return Latent(model, ood), Linear(weight[0], float(bias[0]))


def _on_shipped(name: str) -> tuple[Latent, Linear]:
    return _on(_shipped(name), OutOfDistribution.load(OOD, name, _PRETRAINED / f"{name}.safetensors"))


def _single_output(model: "MarketMamba") -> "MarketMamba":
    if len(model.config.horizons) != 1:
        raise ValueError(f"model must have one output, the log-odds of chaos, got {len(model.config.horizons)}")
    return model


def _shipped(name: str) -> "MarketMamba":
    from companion.mamba import MarketMamba

    known = sorted(path.stem for path in _PRETRAINED.glob("*.safetensors"))
    if name not in known:
        raise ValueError(f"name must be one of the shipped filters {', '.join(known)}, got {name!r}")
    return MarketMamba.load(_PRETRAINED / f"{name}.safetensors", made_by="companion train-filter")
