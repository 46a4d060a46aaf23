"""scikit-learn's conventions, as far as a time series allows: a check that does not apply is listed with the reason."""

import json
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted

from companion.regimes import EwmaKMeans, HarKMeans, JumpModelFilter

LABELS = "a path has a label a bar, so that y has the shape of X; the check gives one label a row"
VALUES = "the features of the check are no log returns"
SHORT = "a row is a path in time, and those of the check are too short to learn from"
WORDS = "refused, as it should be; the message is in this package's grammar and not in scikit-learn's"
#: Checks that do not apply, and why. Every other one passes; one of these that begins to pass fails the test below.
NOT_APPLICABLE = {
    **dict.fromkeys(
        [
            "check_classifier_data_not_an_array",
            "check_classifiers_classes",
            "check_classifiers_one_label",
            "check_classifiers_regression_target",
            "check_classifiers_train",
            "check_decision_proba_consistency",
            "check_dict_unchanged",
            "check_dont_overwrite_parameters",
            "check_dtype_object",
            "check_estimators_dtypes",
            "check_estimators_fit_returns_self",
            "check_estimators_overwrite_params",
            "check_estimators_pickle",
            "check_f_contiguous_array_estimator",
            "check_fit2d_1sample",
            "check_fit2d_predict1d",
            "check_fit_score_takes_y",
            "check_methods_sample_order_invariance",
            "check_methods_subset_invariance",
            "check_n_features_in_after_fitting",
            "check_pipeline_consistency",
            "check_positive_only_tag_during_fit",
            "check_readonly_memmap_input",
            "check_supervised_y_2d",
            "check_transformer_data_not_an_array",
            "check_transformer_general",
            "check_transformer_preserve_dtypes",
        ],
        LABELS,
    ),
    **dict.fromkeys(["check_fit_check_is_fitted", "check_fit_idempotent", "check_n_features_in"], VALUES),
    "check_requires_y_none": SHORT,
    **dict.fromkeys(
        [
            "check_complex_data",
            "check_estimator_sparse_array",
            "check_estimator_sparse_matrix",
            "check_estimator_sparse_tag",
            "check_estimators_empty_data_messages",
            "check_estimators_nan_inf",
            "check_fit2d_1feature",
        ],
        WORDS,
    ),
}


@pytest.mark.parametrize("maker", [EwmaKMeans, HarKMeans])
def test_every_check_of_scikit_learn_passes_or_does_not_apply(maker):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(maker(), expected_failed_checks=NOT_APPLICABLE, on_fail=None, on_skip=None)
    failed = {result["check_name"]: result["exception"] for result in results if result["status"] == "failed"}
    assert not failed
    passed = {result["check_name"] for result in results if result["status"] == "passed"}
    assert not passed & set(NOT_APPLICABLE)  # it applies: take it off the list
    assert {"check_parameters_default_constructible", "check_set_params", "check_estimators_unfitted"} <= passed
    assert {result["check_name"] for result in results} >= set(NOT_APPLICABLE)


def test_settings_survive_a_clone_and_are_set_by_name(fitted):
    parameters = fitted.get_params(deep=False)
    copy = clone(fitted)
    assert copy.get_params(deep=False) == parameters
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)
    check_is_fitted(fitted)
    assert copy.set_params(warm_up=70).warm_up == 70
    with pytest.raises(ValueError, match="Invalid parameter 'enter' for estimator"):
        copy.set_params(enter=0.5)
    with pytest.raises(AttributeError, match="has no attribute 'centroids_'"):
        _ = copy.centroids_
    assert type(fitted).__name__ in repr(fitted)


def test_it_is_a_classifier_of_two_classes(fitted, market):
    assert is_classifier(fitted)
    assert fitted.classes_.tolist() == [0, 1]
    p = fitted.predict_proba(market[0])
    assert p.shape[-1] == len(fitted.classes_)
    # The score ranks as the probability of the second class does.
    score = fitted.decision_function(market[0]).ravel()
    assert (np.diff(p[..., 1].ravel()[np.argsort(score, kind="stable")]) >= -1e-12).all()


def test_the_score_is_the_share_that_predict_names_rightly(fitted, market):
    returns, regime = market
    right = fitted.predict(returns) == regime
    assert fitted.score(returns, regime) == right.mean()
    with pytest.raises(ValueError, match=r"y must have the shape of X, \(6, 1200\), got \(1200,\)"):
        fitted.score(returns, regime[0])


def test_a_fit_is_idempotent_and_leaves_data_and_settings(market):
    """What scikit-learn would check of a table with one label a row."""
    returns, regime = (array[:, :500] for array in market)  # read-only
    for maker in (EwmaKMeans, HarKMeans, JumpModelFilter):
        detector = maker()
        before = json.dumps(detector.get_params())
        first = detector.fit(returns, regime).predict_proba(returns)
        learned = pickle.dumps((detector.feature_, detector.rule_, detector.calibration_))
        for call in (detector.predict, detector.predict_proba, detector.transform, detector.decision_function):
            call(returns)
        assert pickle.dumps((detector.feature_, detector.rule_, detector.calibration_)) == learned
        assert json.dumps(detector.get_params()) == before
        np.testing.assert_array_equal(
            detector.fit(np.asfortranarray(returns), regime.tolist()).predict_proba(returns), first
        )
        np.testing.assert_array_equal(detector.fit_transform(returns, regime), detector.transform(returns))
        narrow = maker().fit(returns.astype(np.float32), regime.astype(bool)).predict_proba(returns)
        np.testing.assert_allclose(narrow, first, rtol=0, atol=1e-3)
        order = np.array([3, 0, 5, 1, 2, 4])
        np.testing.assert_allclose(detector.predict_proba(returns[order]), first[order], rtol=0, atol=1e-12)
        for path in (0, 4):
            np.testing.assert_allclose(
                detector.predict_proba(returns[path : path + 1])[0], first[path], rtol=0, atol=1e-12
            )


def test_a_grid_over_half_lives_is_scored_on_whole_paths(market):
    returns, regime = (array[:, :500] for array in market)
    half_lives, folds = [1.0, 8.0], KFold(2)
    search = GridSearchCV(EwmaKMeans(), {"half_life": half_lives}, cv=folds, error_score="raise").fit(returns, regime)
    found = search.cv_results_["mean_test_score"]
    for half_life, score in zip(half_lives, found, strict=True):
        by_hand = [
            np.mean(EwmaKMeans(half_life).fit(returns[a], regime[a]).predict(returns[b]) == regime[b])
            for a, b in folds.split(returns)
        ]
        assert score == pytest.approx(np.mean(by_hand), rel=1e-12)
    assert search.best_params_["half_life"] == half_lives[int(np.argmax(found))]
    assert search.best_estimator_.update(0.01).n_bars == 1


def test_a_pipeline_may_end_in_it(market):
    returns, regime = market
    chain = make_pipeline(FunctionTransformer(lambda r: 2 * r), EwmaKMeans()).fit(returns, regime)
    np.testing.assert_allclose(
        chain.predict_proba(returns), EwmaKMeans().fit(returns, regime).predict_proba(returns), rtol=0, atol=1e-9
    )
