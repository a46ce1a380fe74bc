"""Traces are read whole: every row is a job, left out by choice, or dropped with a reason."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.traces import Reason, Report, Selection, TraceJob, read_trace
from simulator.traces.fleet import read_fleet
from suan.errors import InvalidRequest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the traces are not on this machine")


def swf(*rows: str) -> str:
    return "; Version: 2.2\n;\n" + "".join(f"{row}\n" for row in rows)


def row(
    job: int = 1, submit: str = "0", run: str = "60", procs: str = "4", asked: str = "4"
) -> str:
    return f"{job} {submit} -1 {run} {procs} -1 -1 {asked} 600 -1 1 3 7 -1 -1 2 -1 -1"


def read(
    tmp_path: Path, text: str | bytes, selection: Selection | None = None
) -> tuple[tuple[TraceJob, ...], Report]:
    path = tmp_path / "trace"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    jobs, report = read_trace(path, selection)
    assert report.rows == report.jobs + report.not_selected + report.dropped_rows
    assert report.jobs == len(jobs)
    return jobs, report


def reasons(report: Report) -> dict[Reason, tuple[int, ...]]:
    return {each.reason: each.lines for each in report.dropped}


def test_a_row_of_swf(tmp_path: Path) -> None:
    jobs, report = read(tmp_path, swf(row(submit="5")))
    assert jobs == (TraceJob("1", 0.0, 60.0, 4, 3, 0, 600.0, "group-7", "user-3", "2"),)
    assert report.format == "SWF"


def test_what_was_asked_for_stands_in_for_what_was_given(tmp_path: Path) -> None:
    jobs, _ = read(tmp_path, swf(row(procs="-1", asked="16")))
    assert jobs[0].cards == 16


def test_bad_rows_of_swf_are_counted_with_their_lines(tmp_path: Path) -> None:
    text = swf(
        row(1),
        row(2, run="-1"),
        row(3, submit="-7"),
        row(4, run="-5"),
        row(5, procs="0", asked="0"),
        row(6, procs="-1", asked="-1"),
        "7 1 2 3",
        row(8, run="long"),
        row(9, submit="nan"),
        row(10, submit="1e12"),
        row(11, procs="1.5"),
        row(12) + " 99",
    )
    jobs, report = read(tmp_path, text)
    assert [job.name for job in jobs] == ["1"]
    assert reasons(report) == {
        Reason.NO_RUN_TIME: (4,),
        Reason.NEGATIVE_TIME: (5, 6),
        Reason.ZERO_WIDTH: (7, 8),
        Reason.MISSING_FIELD: (9,),
        Reason.NOT_A_NUMBER: (10, 11),
        Reason.OUT_OF_RANGE: (12, 13),
        Reason.BAD_ROW: (14,),
    }
    assert "2 dropped: NegativeTime (line 5, 6)" in report.words()


def test_unsorted_rows_are_sorted_and_told(tmp_path: Path) -> None:
    jobs, report = read(tmp_path, swf(row(1, "50"), row(2, "10"), row(3, "30"), row(4, "30")))
    assert [(job.name, job.submit_seconds) for job in jobs] == [
        ("2", 0.0), ("3", 20.0), ("4", 20.0), ("1", 40.0),
    ]  # fmt: skip
    assert report.unsorted_rows == 1


def test_a_selection_is_counted(tmp_path: Path) -> None:
    days = swf(*(row(at, str(at * 43_200)) for at in range(10)))
    jobs, report = read(tmp_path, days, Selection(first=2, from_day=1, until_day=3))
    assert [(job.name, job.submit_seconds) for job in jobs] == [("2", 0.0), ("3", 43_200.0)]
    assert report.not_selected == 8
    assert read(tmp_path, days, Selection(from_day=99))[0] == ()


def test_a_broken_archive_gives_what_stands_before_the_break(tmp_path: Path) -> None:
    whole = gzip.compress(swf(*(row(at, str(at)) for at in range(20_000))).encode())
    jobs, report = read(tmp_path, whole[: len(whole) // 2])
    assert 0 < len(jobs) < 20_000
    assert "breaks off" in report.damage
    assert report.damage in report.words()


def test_a_line_without_end_is_dropped_not_kept(tmp_path: Path) -> None:
    jobs, report = read(tmp_path, swf(row(1), "9" * 200_000, row(2)))
    assert [job.name for job in jobs] == ["1", "2"]
    assert reasons(report) == {Reason.LINE_TOO_LONG: (4,)}


def test_an_empty_file_has_no_jobs(tmp_path: Path) -> None:
    assert read(tmp_path, "")[0] == ()
    assert read(tmp_path, "; only words\n\n")[0] == ()


def test_philly(tmp_path: Path) -> None:
    text = (
        "timestamp,duration,num_gpus,gpu_time,cluster\n"
        "2017-10-09 07:01:55,66.0,2,132.0,11cb48\n"
        "2017-10-09 07:01:45,5,1,5,11cb48\n"
        "yesterday,66.0,1,66.0,11cb48\n"
        "2017-10-09 07:01:55,-1,1,66.0,11cb48\n"
        "2017-10-09 07:01:55,66.0,0,66.0,11cb48\n"
        "2017-10-09 07:01:55,66.0,1,66.0,\n"
        "2017-10-09 07:01:55,66.0\n"
    )
    jobs, report = read(tmp_path, text)
    assert [(job.submit_seconds, job.run_seconds, job.cards, job.tenant) for job in jobs] == [
        (0.0, 5.0, 1, "11cb48"),
        (10.0, 66.0, 2, "11cb48"),
    ]
    assert reasons(report) == {
        Reason.NOT_A_NUMBER: (4,),
        Reason.NEGATIVE_TIME: (5,),
        Reason.ZERO_WIDTH: (6,),
        Reason.MISSING_FIELD: (7, 8),
    }


def test_openb(tmp_path: Path) -> None:
    header = (
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,"
        "creation_time,deletion_time,scheduled_time\n"
    )
    text = (
        header
        + "a,1,1,1,460,V100M16|V100M32,LS,Running,10,100,20\n"
        + "b,1,1,0,0,,BE,Running,10,100,20\n"
        + "c,1,1,2,1000,,BE,Pending,10,100,\n"
        + "d,1,1,2,1000,,BE,Running,10,15,20\n"
    )
    jobs, report = read(tmp_path, text)
    assert jobs == (
        TraceJob(
            "a",
            0.0,
            80.0,
            1,
            2,
            1,
            tenant="LS",
            accelerators=("V100M16", "V100M32"),
            card_share=0.46,
        ),
    )
    assert {each.reason for each in report.dropped} == {
        Reason.ZERO_WIDTH, Reason.NO_RUN_TIME, Reason.NEGATIVE_TIME,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("runtime\n1.0\n", "without submissions"),
        ("name,time,application,num_replicas,batch_size\n", "without run times"),
        ("name,cpu_milli,memory_mib,num_gpu,gpu_milli\n", "without times"),
        ("who,knows\n1,2\n", "no trace"),
        ("PK\x03\x04 something else", "no trace"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_reason(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(InvalidRequest, match=word) as refused:
        read(tmp_path, text)
    assert refused.value.code == "UnknownTraceFormat"
    assert "SWF" in refused.value.hint


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_trace(tmp_path / "nothing")
    assert refused.value.code == "TraceUnreadable"


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=400), head=st.sampled_from([
    b"", b"1 2 3\n", b"\x1f\x8b", b"timestamp,duration,num_gpus,gpu_time,cluster\n",
    b"job_name,organization,duration,gpu_request,worker_num,submit_time\n",
]))  # fmt: skip
def test_no_bytes_break_the_reader(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, body: bytes
) -> None:
    try:
        read(tmp_path_factory.mktemp("fuzz"), head + body)
    except InvalidRequest as refused:
        assert refused.hint


@needs_data
@pytest.mark.parametrize(
    ("name", "jobs"),
    [
        ("hpc2n_sample/hpc2n.swf.gz", 3_145),
        ("lublin/lublin_256.swf.gz", 10_000),
        ("nasa_ipsc/NASA-iPSC-1993-3.1-cln.swf.gz", 18_239),
        ("openb_v2023/openb_pod_list_default.csv.gz", 6_203),
        ("philly_sia/philly_dev.csv.gz", 53_202),
        ("alibaba_v2026_spot/aggregates/longest_jobs_top200.csv", 200),
    ],
)
def test_the_traces_at_hand(name: str, jobs: int) -> None:
    found, report = read_trace(DATA / name)
    assert len(found) == jobs
    assert report.rows == report.jobs + report.dropped_rows
    assert not report.damage


@needs_data
def test_the_lists_of_nodes_at_hand() -> None:
    nodes, report = read_fleet(DATA / "openb_v2023" / "openb_node_list_gpu_node.csv.gz")
    assert (len(nodes), sum(node.cards for node in nodes)) == (1_213, 6_212)
    nodes, _ = read_fleet(DATA / "alibaba_v2026_spot" / "node_info_df.csv")
    assert (len(nodes), sum(node.cards for node in nodes)) == (4_278, 10_412)
    assert not report.dropped
