from dataclasses import replace
from datetime import date, datetime, time

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from client.data.canonical import TABLES
from shared_model import declared
from shared_model.errors import ConfigError
from simulations import seeds
from simulations.datasets.synthetic import SyntheticMarket, generate
from simulations.datasets.synthetic.catalogue import ADJECTIVES, REMOTENESS
from simulations.datasets.synthetic.events import CHANNELS, DEVICES
from simulations.datasets.synthetic.mechanics import BASE, DELIVERY_NOISE, SHARED, Mechanics, draw_mechanics
from simulations.market import MerchantTables

PREDICTORS = ("distance", "weight", "weekend", "remoteness", "season")
GRADE_OF = {word: grade for grade, words in ADJECTIVES.items() for word in words}
OPTIONS = SyntheticMarket(merchants=6, seed=3)
BIG = SyntheticMarket(merchants=1, min_orders=6000, max_orders=6000, feature_shift=0.3, label_shift=0.0)


@pytest.fixture(scope="module")
def merchants() -> dict[str, MerchantTables]:
    return dict(generate(OPTIONS).merchants)


@pytest.fixture(scope="module")
def big() -> MerchantTables:
    return generate(BIG).merchants["synthetic-01"]


@pytest.fixture(scope="module")
def everyone(merchants) -> pl.DataFrame:
    return pl.concat(tables.orders for tables in merchants.values())


# --- what a shop's tables look like ---------------------------------------------------------------------


@pytest.mark.parametrize("table", ["orders", "items", "events"])
def test_tables_are_canonical_with_all_required_columns(merchants, table):
    columns = set(merchants["synthetic-01"].frames[table].columns)
    assert columns <= set(TABLES[table])
    assert {name for name, column in TABLES[table].items() if column.required} <= columns


def test_every_item_that_is_sold_or_looked_at_is_in_the_catalogue(merchants):
    tables = merchants["synthetic-02"]
    assert set(tables.orders["item_id"]) | set(tables.events["item_id"]) <= set(tables.items["item_id"])


def test_merchants_say_that_they_are_synthetic(merchants, everyone):
    assert all(name.startswith("synthetic-") for name in merchants)
    assert everyone["country"].unique().to_list() == ["ZZ"]


@pytest.mark.parametrize("column", ["order_id", "customer_id", "item_id"])
def test_no_two_merchants_share_an_id(merchants, column):
    counts = [tables.orders[column].n_unique() for tables in merchants.values()]
    assert pl.concat([tables.orders[column] for tables in merchants.values()]).n_unique() == sum(counts)


def test_what_happens_to_an_order_happens_in_order_and_before_the_export(everyone):
    export = datetime.combine(OPTIONS.end, time.min)
    in_order = everyone.select(
        (pl.col("shipped_ts") >= pl.col("order_ts")).all(),
        (pl.col("delivered_ts") >= pl.col("shipped_ts")).all().alias("delivered"),
        (pl.col("review_ts") > pl.col("delivered_ts")).all().alias("reviewed"),
        (pl.col("return_ts") > pl.col("delivered_ts")).all().alias("returned"),
        (pl.max_horizontal("order_ts", "delivered_ts", "review_ts", "return_ts") < export)
        .all()
        .alias("known"),
    )
    assert all(in_order.row(0))


def test_cancelled_orders_never_arrive(everyone):
    cancelled = everyone.filter(status="cancelled")
    assert len(cancelled) > 0
    assert (
        cancelled.select("delivered_ts", "review_score", "returned").null_count().row(0)
        == (len(cancelled),) * 3
    )


def test_shoppers_come_back(everyone):
    orders = everyone.unique("order_id")
    assert 0.15 < 1 - orders["customer_id"].n_unique() / len(orders) < 0.5


def test_nothing_is_sold_before_its_launch(big):
    first = big.orders.group_by("item_id").agg(pl.col("order_ts").min())["order_ts"]
    late_launches = (first > datetime(2022, 4, 1)).mean()
    assert 0.1 < late_launches < 0.5


def test_a_purchase_session_belongs_to_an_order(merchants):
    tables = merchants["synthetic-01"]
    bought = tables.events.filter(event_type="purchase").select("event_ts", "customer_id", "item_id")
    orders = tables.orders.select(event_ts="order_ts", customer_id="customer_id", item_id="item_id")
    assert bought.join(orders, on=["event_ts", "customer_id", "item_id"], how="anti").is_empty()


def test_every_session_begins_with_a_view(merchants):
    first = merchants["synthetic-01"].events.group_by("session_id", maintain_order=True).first()
    assert first["event_type"].unique().to_list() == ["view"]


# --- options ----------------------------------------------------------------------------------------


def test_merchants_stay_the_same_when_others_join():
    few, many = generate(replace(OPTIONS, merchants=2)), generate(replace(OPTIONS, merchants=3))
    assert_frame_equal(few.merchants["synthetic-02"].orders, many.merchants["synthetic-02"].orders)
    assert_frame_equal(few.merchants["synthetic-02"].events, many.merchants["synthetic-02"].events)


def test_the_same_seed_gives_the_same_market_and_another_seed_another():
    again, other = generate(replace(OPTIONS, merchants=1)), generate(replace(OPTIONS, merchants=1, seed=4))
    first = generate(replace(OPTIONS, merchants=1)).merchants["synthetic-01"].orders
    assert first.equals(again.merchants["synthetic-01"].orders)
    assert not first.equals(other.merchants["synthetic-01"].orders)


def test_sizes_stay_near_the_bounds():
    market = generate(SyntheticMarket(merchants=8, min_orders=80, max_orders=120, sigma_orders=3.0))
    sizes = [tables.orders["order_id"].n_unique() for tables in market.merchants.values()]
    assert min(sizes) > 50
    assert max(sizes) < 200


@pytest.mark.parametrize(
    ("option", "table", "column"),
    [("without_deliveries", "orders", "delivered_ts"), ("without_reviews", "orders", "review_score")],
)
def test_exports_can_lack_a_column(option, table, column):
    market = generate(replace(OPTIONS, merchants=1, **{option: 1.0}))
    assert column not in market.merchants["synthetic-01"].frames[table].columns


def test_exports_can_lack_events():
    assert (
        generate(replace(OPTIONS, merchants=1, without_events=1.0)).merchants["synthetic-01"].events is None
    )


def test_what_an_export_lacks_changes_nothing_else():
    whole = generate(replace(OPTIONS, merchants=1)).merchants["synthetic-01"].orders
    lacking = generate(replace(OPTIONS, merchants=1, without_reviews=1.0)).merchants["synthetic-01"].orders
    assert_frame_equal(whole.drop("review_score", "review_ts"), lacking)


def test_feature_shift_moves_prices_apart():
    alike, apart = (generate(replace(OPTIONS, merchants=12, feature_shift=s)) for s in (0.0, 1.5))
    assert spread_of_log_price(apart.merchants) > 2 * spread_of_log_price(alike.merchants)


def test_label_shift_moves_base_rates_apart():
    bases = [
        m["base"]["bad_review"]
        for m in generate(replace(OPTIONS, label_shift=0.0)).truth["merchants"].values()
    ]
    assert bases == [BASE["bad_review"][0]] * 6


def test_tiers_follow_the_shoppers_before_validation(merchants):
    shoppers = {
        name: tables.orders.filter(pl.col("order_ts") < date(2023, 2, 15))["customer_id"].n_unique()
        for name, tables in merchants.items()
    }
    small = {name for name, tables in merchants.items() if tables.tier == "small"}
    assert small == {name for name, n in shoppers.items() if n < 100}


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"relatedness": 1.5}, "relatedness"),
        ({"merchants": 0}, "merchants"),
        ({"colour": "red"}, "colour"),
        ({"validation_from": "2023-05-01", "test_from": "2023-04-01"}, "2023-04-01"),
        ({"min_orders": 10, "max_orders": 5}, "max_orders"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options, key):
    with pytest.raises(ConfigError, match=key):
        declared.parse(SyntheticMarket, options, file="scenario.toml")


# --- the truth --------------------------------------------------------------------------------------


def test_related_merchants_share_every_coefficient():
    truth = generate(replace(OPTIONS, merchants=2, relatedness=1.0)).truth["merchants"]
    assert truth["synthetic-01"]["coefficients"] == truth["synthetic-02"]["coefficients"] == SHARED


@pytest.mark.parametrize("relatedness", [0.0, 0.5, 1.0])
def test_relatedness_keeps_the_size_of_coefficients(relatedness):
    # r = 0: a mean of 2,000 squared normals, standard error sqrt(2 / 2000) = 3 %
    options = SyntheticMarket(relatedness=relatedness)
    drawn = [own("distance", draw_mechanics(options, seeds.generator(0, str(n)))) for n in range(2000)]
    assert np.mean(np.square(drawn)) == pytest.approx(SHARED["delivery"]["distance"] ** 2, rel=0.12)


def test_relatedness_is_the_correlation_of_two_merchants():
    # the mean of the products is r * shared**2: only the shared part is common
    options = SyntheticMarket(relatedness=0.25)
    drawn = [own("distance", draw_mechanics(options, seeds.generator(1, str(n)))) for n in range(4000)]
    product = np.mean(np.multiply(drawn[::2], drawn[1::2])) / SHARED["delivery"]["distance"] ** 2
    assert product == pytest.approx(0.25, abs=0.08)


def test_delivery_times_follow_the_recorded_coefficients(big):
    fitted, residual = fit_delivery(big)
    expected = [BASE["delivery"][0], *(SHARED["delivery"][x] for x in PREDICTORS)]
    assert fitted == pytest.approx(expected, abs=0.03)
    assert residual == pytest.approx(DELIVERY_NOISE, rel=0.05)


def test_sessions_follow_the_recorded_coefficients(big):
    sessions = big.events.group_by("session_id").agg(
        bought=(pl.col("event_type") == "purchase").any(),
        views=(pl.col("event_type") == "view").sum(),
        cart=(pl.col("event_type") == "add_to_cart").any(),
        channel=pl.col("channel").first(),
        device=pl.col("device").first(),
    )
    inputs = sessions.select(
        pl.lit(1.0),
        pl.col("channel").replace_strict(CHANNELS),
        pl.col("device").replace_strict(DEVICES),
        (pl.col("views").cast(pl.Float64) - 3) / 1.5,
        pl.col("cart").cast(pl.Float64).alias("in_cart"),
    ).to_numpy()
    expected = SHARED["session_purchase"]
    assert fit_logistic(inputs, sessions["bought"].to_numpy()) == pytest.approx(
        [
            BASE["session_purchase"][0],
            expected["intent"],
            expected["device"],
            expected["views"],
            expected["cart"],
        ],
        abs=0.12,
    )


def test_late_orders_are_reviewed_worse(big):
    reviewed = big.orders.drop_nulls(["review_score", "delivered_ts"])
    late = reviewed["delivered_ts"] > reviewed["promised_ts"]
    bad = reviewed["review_score"] <= 3
    assert bad.filter(late).mean() > 2 * bad.filter(~late).mean()


def test_reviews_follow_the_words_of_the_title(everyone, merchants):
    items = pl.concat(tables.items for tables in merchants.values())
    sold = everyone.join(items, on="item_id").drop_nulls("review_score")
    words = pl.col("title").str.split(" ").list.first().replace_strict(GRADE_OF)
    bad = dict(sold.group_by(words).agg((pl.col("review_score") <= 3).mean()).iter_rows())
    assert bad[1] < bad[-1]


def test_a_small_shop_learns_delivery_times_better_from_others_than_alone():
    tables = generate(SyntheticMarket(merchants=8, seed=1, label_shift=0.0)).merchants
    small = min(tables, key=lambda name: len(tables[name].orders))
    alone, _ = fit_delivery(MerchantTables(orders=tables[small].orders.head(30), items=tables[small].items))
    others = [t for name, t in tables.items() if name != small]
    together, _ = fit_delivery(
        MerchantTables(orders=pl.concat(t.orders for t in others), items=pl.concat(t.items for t in others))
    )
    tested = MerchantTables(orders=tables[small].orders[30:], items=tables[small].items)
    assert delivery_error(tested, together) < delivery_error(tested, alone)


def own(predictor: str, mechanics: Mechanics) -> float:
    return mechanics.coefficients["delivery"][predictor]


def spread_of_log_price(merchants) -> float:
    return float(np.std([tables.items["price"].log1p().mean() for tables in merchants.values()]))


def delivery_inputs(tables: MerchantTables) -> tuple[np.ndarray, np.ndarray]:
    """The base and `PREDICTORS` of every order that arrived, shape (n, 6), and log(1 + days), shape (n,)."""
    lines = tables.orders.unique("order_id", maintain_order=True).drop_nulls("delivered_ts")
    lines = lines.join(tables.items.select("item_id", "weight_g"), on="item_id", how="left")
    year = 2 * np.pi * (lines["order_ts"].dt.ordinal_day().to_numpy() - 350) / 365.25
    inputs = lines.select(
        pl.lit(1.0).alias("base"),
        ((pl.col("distance_km").log1p() - 5.4) / 1.2).alias("distance"),
        ((pl.col("weight_g").log1p() - 6.7) / 1.2).alias("weight"),
        (pl.col("order_ts").dt.weekday() >= 5).cast(pl.Float64).alias("weekend"),
        pl.col("region").replace_strict(REMOTENESS).alias("remoteness"),
    )
    days = (lines["delivered_ts"] - lines["order_ts"]).dt.total_seconds() / 86_400
    return np.column_stack([inputs.to_numpy(), np.cos(year)]), np.log1p(days.to_numpy())


def fit_delivery(tables: MerchantTables) -> tuple[list[float], float]:
    inputs, log_days = delivery_inputs(tables)
    fitted, *_ = np.linalg.lstsq(inputs, log_days, rcond=None)
    return fitted.tolist(), float(np.std(log_days - inputs @ fitted))


def delivery_error(tables: MerchantTables, fitted: list[float]) -> float:
    inputs, log_days = delivery_inputs(tables)
    return float(np.sqrt(np.mean((inputs @ np.array(fitted) - log_days) ** 2)))


def fit_logistic(inputs: np.ndarray, happened: np.ndarray) -> list[float]:
    """Newton's method, without a penalty."""
    weights = np.zeros(inputs.shape[1])
    for _ in range(15):
        p = 1 / (1 + np.exp(-inputs @ weights))
        weights += np.linalg.solve((inputs * (p * (1 - p))[:, None]).T @ inputs, inputs.T @ (happened - p))
    return weights.tolist()
