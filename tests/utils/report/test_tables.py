"""The tables of metrics: what nobody knows takes no room."""

from utils.report.tables import INCREMENTAL, joint_rows, metric_rows, metrics_table

KNOWN = {"lab/test/acc": 0.9, "incremental/lab/test/acc": 0.8, "joint/lab": 0.8, "joint/all": 0.8}
NOVEL = {f"unlab/test/{key}/best": value for key, value in (("acc", 0.7), ("nmi", 0.6), ("ari", 0.5))}


def test_without_truth_of_novel_classes_there_are_no_empty_columns_and_no_all():
    assert metric_rows(KNOWN) == (["accuracy"], [("known, test", [0.9])])
    assert metric_rows(KNOWN, INCREMENTAL) == (["accuracy"], [("known, test, among all outputs", [0.8])])
    assert joint_rows(KNOWN) == ("known", [("known", 0.8)])
    lines = metrics_table(KNOWN).splitlines()
    assert [line.split() for line in lines[:2]] == [["acc"], ["known,", "test", "0.900"]]
    assert lines[2:] == ["one matching over known, test: known 0.800"]
    assert metrics_table({}) == ""


def test_with_truth_all_is_there():
    metrics = KNOWN | NOVEL | {"joint/novel": 0.6, "joint/all": 0.7}
    measures, rows = metric_rows(metrics)
    assert measures == ["accuracy", "NMI", "ARI"]
    assert rows == [("novel, test, best head", [0.7, 0.6, 0.5]), ("known, test", [0.9, None, None])]
    assert metrics_table(metrics).splitlines() == [
        f"{'':43}    acc    NMI    ARI",
        f"{'novel, test, best head':43}  0.700  0.600  0.500",
        f"{'known, test':43}  0.900              ",
        "one matching over known and novel, test: known 0.800, novel 0.600, all 0.700",
    ]
    assert joint_rows({"joint/novel": 0.6, "joint/all": 0.6}) == ("novel", [("novel", 0.6)])
