"""Trains the fraud model on features as the engine emitted them, and writes it as ONNX with its manifest.

usage: train_fraud.py --decisions DECISIONS.parquet --labels LABELS.parquet [--out models/fraud] [--version 1]

The features come from the decisions topic; nothing is computed here a second time:
    kappa topics export fraud-decisions --out decisions.parquet
    kappa topics export fraud-labels --out labels.parquet

Time is cut as it would have been lived through, D being the label delay:

    | warm-up | training            | D: labels come in | test                 | D: labels come in |
              ^ from                ^ to                ^ trained_at                                  ^ last decision

Windows fill during the warm-up. Training sees only labels known at trained_at. Test rows are younger than that, and
old enough for their own frauds to be known. The same input gives the same bytes.

Python packages: scripts/requirements.txt; 1.7 M decisions take about a minute on one core.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import xgboost
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.metrics import average_precision_score, roc_auc_score

# What a payment says of itself.
FIELDS = ["amount", "mcc", "hour", "weekday", "online"]

# What only its history, its customer's profile and its terminal's past can tell.
HISTORY = [
    "customer_count_1h",
    "customer_sum_1h",
    "customer_count_24h",
    "customer_sum_24h",
    "customer_count_7d",
    "customer_sum_7d",
    "customer_merchants_24h",
    "customer_merchants_7d",
    "customer_mean_last_10",
    "customer_mean_30d",
    "customer_sd_30d",
    "amount_z",
    "seconds_since_last",
    "km_from_last",
    "speed_kmh",
    "impossible_travel",
    "km_from_home",
    "country_mismatch",
    "ip_country_mismatch",
    "device_mismatch",
    "account_age_days",
    "terminal_count_1h",
    "terminal_mean_1h",
    "terminal_customers_1h",
    "terminal_count_1d",
    "terminal_risk_1d",
    "terminal_count_7d",
    "terminal_risk_7d",
    "terminal_count_30d",
    "terminal_risk_30d",
]

# The model's input, in this order. Null is NaN: trees of XGBoost send what is missing down a learned side.
FEATURES = FIELDS + HISTORY

PARAMS = {
    "n_estimators": 200,
    "max_depth": 5,
    "learning_rate": 0.1,
    "min_child_weight": 5,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "tree_method": "hist",
    # Margin 0: both runtimes then add the same leaves in the same order, starting from nothing.
    "base_score": 0.5,
}

# Probabilities of ONNX Runtime and XGBoost may differ by the order in which a row's leaves are added.
TOLERANCE = 1e-6

CARDS_CHECKED_A_DAY = 100


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", required=True, help="Parquet with the columns of schemas/fraud-decision.avsc")
    parser.add_argument("--labels", required=True, help="Parquet with the columns of schemas/fraud-label.avsc")
    parser.add_argument("--out", type=Path, default=Path("models/fraud"))
    parser.add_argument("--name", default="fraud")
    parser.add_argument("--version", default="1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--warm-up-days", type=float, default=14)
    parser.add_argument("--label-delay-days", type=float, default=7)
    parser.add_argument("--test-share", type=float, default=0.25, help="of the time after warm-up, delays taken off")
    parser.add_argument("--git", help="commit whose code computed the features; default: HEAD of this repository")
    return parser.parse_args()


def milliseconds(column):
    """Epoch ms of a column that holds timestamps or numbers."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return column.astype("datetime64[ms, UTC]" if column.dt.tz else "datetime64[ms]").astype("int64")
    return column.astype("int64")


def load(decisions_path, labels_path):
    """Decisions in the order (ts, tx_id), with the time each one's fraud became known, or NaN."""
    columns = ["tx_id", "ts", "customer_id", "late", *FEATURES]
    decisions = pd.read_parquet(decisions_path, columns=columns, dtype_backend="numpy_nullable")
    labels = pd.read_parquet(labels_path, columns=["tx_id", "ts", "fraud"], dtype_backend="numpy_nullable")
    if decisions.tx_id.duplicated().any():
        sys.exit(f"{int(decisions.tx_id.duplicated().sum())} transactions are decided twice; export committed records")
    decisions["ts"] = milliseconds(decisions.ts)
    labels["known_ts"] = milliseconds(labels.ts)
    frauds = labels[labels.fraud.astype(bool)].groupby("tx_id", as_index=False).known_ts.min()
    rows = decisions[~decisions.late.astype(bool)].merge(frauds, on="tx_id", how="left")
    return rows.sort_values(["ts", "tx_id"], kind="stable").reset_index(drop=True)


def matrix(rows, features):
    """Float32, as the model is fed: rounding first keeps training and scoring on the same side of every split."""
    return np.column_stack([rows[name].astype("Float64").to_numpy("float32", na_value=np.nan) for name in features])


def split(rows, arguments):
    day_ms = 86_400_000
    delay_ms = int(arguments.label_delay_days * day_ms)
    begin = int(rows.ts.iloc[0]) + int(arguments.warm_up_days * day_ms)
    end = int(rows.ts.iloc[-1]) - delay_ms
    train_to = begin + int((end - delay_ms - begin) * (1 - arguments.test_share))
    trained_at = train_to + delay_ms
    if not begin < train_to < trained_at < end:
        days = (int(rows.ts.iloc[-1]) - int(rows.ts.iloc[0])) / day_ms
        sys.exit(f"{days:.1f} days of decisions are too few for the warm-up and twice the label delay; give more")
    train = rows[(rows.ts >= begin) & (rows.ts < train_to)]
    test = rows[(rows.ts >= trained_at) & (rows.ts < end)]
    return train, (train.known_ts <= trained_at).to_numpy(), test, test.known_ts.notna().to_numpy(), trained_at


def fit(inputs, fraud, seed):
    # One thread: the order of float sums in a histogram depends on how many there are.
    model = xgboost.XGBClassifier(**PARAMS, random_state=seed, n_jobs=1)
    return model.fit(inputs, fraud)


def card_precision(test, fraud, scores):
    """Mean over days of the share of frauds among the cards with the highest scores; a card found is not sought again.

    As in the Fraud Detection Handbook (Le Borgne et al., 2022), chapter 4.
    """
    table = pd.DataFrame({"day": test.ts // 86_400_000, "card": test.customer_id, "fraud": fraud, "score": scores})
    found, daily = set(), []
    for _, rows in table.groupby("day"):
        cards = rows[~rows.card.isin(found)].groupby("card").agg(score=("score", "max"), fraud=("fraud", "max"))
        top = cards.sort_values("score", ascending=False, kind="stable").head(CARDS_CHECKED_A_DAY)
        hits = set(top[top.fraud].index)
        daily.append(len(hits) / CARDS_CHECKED_A_DAY)
        found |= hits
    return float(np.mean(daily))


def convert(model):
    onnx_model = convert_xgboost(
        model, initial_types=[("input", FloatTensorType([None, len(FEATURES)]))], target_opset=15
    )
    onnx_model.graph.name = "fraud"
    return onnx_model.SerializeToString(deterministic=True)


def check_conversion(onnx_bytes, model, inputs):
    """The greatest difference between the two runtimes; ends the program beyond the tolerance."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
    probabilities = session.run(["probabilities"], {"input": inputs})[0][:, 1]
    difference = float(np.max(np.abs(probabilities - model.predict_proba(inputs)[:, 1])))
    if not difference <= TOLERANCE:
        sys.exit(f"ONNX Runtime and XGBoost differ by {difference:.3g}, more than {TOLERANCE:.0e}")
    return difference


def dataset_hash(train, inputs, fraud):
    """Of the training rows themselves, so that it does not depend on how Parquet packed them."""
    digest = hashlib.sha256()
    digest.update("\n".join(FEATURES).encode())
    digest.update("\n".join(train.tx_id).encode())
    digest.update(train.ts.to_numpy("<i8").tobytes())
    # One NaN: the bits of a missing value are the reader's choice.
    digest.update(np.where(np.isnan(inputs), np.float32("nan"), inputs).astype("<f4").tobytes())
    digest.update(fraud.astype("u1").tobytes())
    return f"sha256:{digest.hexdigest()}"


def head_commit():
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    result = subprocess.run(git, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else "unknown"


def instant(ms):
    return pd.Timestamp(int(ms), unit="ms", tz="UTC").isoformat(timespec="milliseconds").replace("+00:00", "Z")


def quality(test, fraud, scores):
    return {
        "auc": roc_auc_score(fraud, scores),
        "average_precision": average_precision_score(fraud, scores),
        f"card_precision_{CARDS_CHECKED_A_DAY}": card_precision(test, fraud, scores),
    }


def main():
    arguments = parse_arguments()
    rows = load(arguments.decisions, arguments.labels)
    train, train_fraud, test, test_fraud, trained_at = split(rows, arguments)
    if not (train_fraud.any() and test_fraud.any()):
        sys.exit(f"{int(train_fraud.sum())} frauds to train on and {int(test_fraud.sum())} to test on; both need some")

    inputs, test_inputs = matrix(train, FEATURES), matrix(test, FEATURES)
    model = fit(inputs, train_fraud, arguments.seed)
    metrics = quality(test, test_fraud, model.predict_proba(test_inputs)[:, 1])

    # What history is worth: the same learner on the payment's own fields.
    fields = fit(inputs[:, : len(FIELDS)], train_fraud, arguments.seed)
    fields_scores = fields.predict_proba(test_inputs[:, : len(FIELDS)])[:, 1]
    metrics |= {f"fields_only_{name}": value for name, value in quality(test, test_fraud, fields_scores).items()}
    metrics[f"card_precision_{CARDS_CHECKED_A_DAY}_perfect"] = card_precision(test, test_fraud, test_fraud.astype(float))
    metrics |= {"test_rows": len(test), "test_frauds": int(test_fraud.sum())}

    onnx_bytes = convert(model)
    difference = check_conversion(onnx_bytes, model, test_inputs)

    medians = np.nanmedian(inputs, axis=0)
    if np.isnan(medians).any():
        absent = [name for name, median in zip(FEATURES, medians) if np.isnan(median)]
        sys.exit(f"no training row has {', '.join(absent)}; a feature needs a median")
    manifest = {
        "name": arguments.name,
        "version": arguments.version,
        "features": [{"name": name} for name in FEATURES],
        "medians": {name: float(median) for name, median in zip(FEATURES, medians)},
        "output": "probability",
        "trained_at": instant(trained_at),
        "training": {
            "rows": len(train),
            "from": instant(train.ts.iloc[0]),
            "to": instant(train.ts.iloc[-1]),
            "git": arguments.git or head_commit(),
            "dataset": dataset_hash(train, inputs, train_fraud),
            "seed": arguments.seed,
            "params": {**PARAMS, "frauds": int(train_fraud.sum()), "xgboost": xgboost.__version__},
        },
        "metrics": {name: round(value, 6) for name, value in metrics.items()},
        "sha256": hashlib.sha256(onnx_bytes).hexdigest(),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "model.onnx").write_bytes(onnx_bytes)
    (arguments.out / "model.json").write_text(json.dumps(manifest, indent=2) + "\n")
    print(json.dumps({**manifest["metrics"], "onnx_difference": difference, "bytes": len(onnx_bytes)}, indent=2))


if __name__ == "__main__":
    main()
