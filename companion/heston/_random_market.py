"""Goes when `companion.regimes._filter_training` says ``RegimeSwitchingHeston.random``."""

from companion.heston._switching import RegimeSwitchingHeston

random_market = RegimeSwitchingHeston.random
