"""How jobs end, what is told of it, and what of them may not be left."""

from __future__ import annotations

from agent.backends import LeaseClass, Reason
from tests.agent.processes import alive
from tests.conformance.jobs import Ended, job

LOOP = "while :; do sleep 0.05; done"
TIME_LIMIT_SECONDS = 2.0  # longer than any site takes to come from the fence to a trap
BIG_BYTES = 24_000_000
MEMORY_GIB = 0.0625
MEET = """
import os, socket, time
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if os.environ["SUAN_NODE_RANK"] == "0":
    with socket.create_server(place) as server:
        peer, _ = server.accept()
        with peer:
            number = int(peer.recv(16))
            peer.sendall(str(2 * number).encode())
            print("got", number)
else:
    while True:
        try:
            peer = socket.create_connection(place)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    with peer:
        peer.sendall(b"21")
        print("got", int(peer.recv(16)))
"""


@job("true")
def a_job_that_says_nothing_succeeds(ended: Ended) -> None:
    assert ended.exit.succeeded
    assert (ended.exit.reason, ended.exit.exit_code) == (Reason.EXITED, 0)
    assert 0 < ended.exit.started_at <= ended.exit.ended_at
    assert (ended.out, ended.err) == ((b"",), (b"",))


@job("exit 1")
def a_failure_is_told(ended: Ended) -> None:
    assert (ended.exit.exit_code, ended.exit.reason) == (1, Reason.EXITED)
    assert ended.exit.rank_codes == (1,)


@job("echo out; echo err >&2; exit 42", always=True)
def a_code_and_both_streams_are_kept(ended: Ended) -> None:
    assert (ended.exit.exit_code, ended.exit.signal) == (42, 0)
    assert (ended.out, ended.err) == ((b"out\n",), (b"err\n",))


@job("kill -KILL $$")
def its_own_signal_is_told(ended: Ended) -> None:
    assert (ended.exit.exit_code, ended.exit.signal) == (137, 9)
    assert not ended.exit.succeeded


@job('printf "你好\\n\\377\\0 ünïcode\\r"')
def bytes_of_any_kind_come_through(ended: Ended) -> None:
    assert ended.out == ("你好\n".encode() + b"\xff\0 " + "ünïcode\r".encode(),)


@job(f"head -c {BIG_BYTES} /dev/zero | tr '\\0' x | tee /dev/stderr; echo end")
def big_output_comes_whole(ended: Ended) -> None:
    assert ended.out[0] == b"x" * BIG_BYTES + b"end\n"
    assert ended.err[0] == b"x" * BIG_BYTES


@job("/no/such/python train.py")
def a_program_that_is_not_there_is_named(ended: Ended) -> None:
    assert (ended.exit.exit_code, ended.exit.reason) == (127, Reason.EXITED)
    assert b"/no/such/python" in ended.err[0]


@job("./script", bundle={"script": "#!/no/such/interpreter\n"})
def a_missing_interpreter_is_told(ended: Ended) -> None:
    assert ended.exit.exit_code in (126, 127)
    assert b"script" in ended.err[0]


@job('touch "$SUAN_OUTPUT_DIR/ran"', setup="echo preparing; exit 4")
def a_setup_that_fails_ends_it(ended: Ended) -> None:
    assert (ended.exit.exit_code, ended.exit.reason) == (4, Reason.EXITED)
    assert ended.exit.detail == f"setup on {ended.order.nodes[0].name} failed"
    assert ended.exit.rank_codes == ()
    assert ended.out == (b"preparing\n",)
    assert not (ended.seat / "ran").exists()


@job("echo run", setup="echo setup", nodes=2)
def setup_comes_first_on_each_node(ended: Ended) -> None:
    assert ended.out == (b"setup\nrun\n",) * 2


# --- gangs ---------------------------------------------------------------------------


@job(f"exec python3 -c '{MEET}'", nodes=2)
def ranks_meet_and_exchange_a_number(ended: Ended) -> None:
    assert ended.exit.succeeded, ended
    assert ended.out == (b"got 21\n", b"got 42\n")


@job(
    'up="$SUAN_OUTPUT_DIR/up"; if [ "$SUAN_NODE_RANK" = 1 ]; then'
    ' until [ -e "$up" ]; do sleep 0.05; done; exit 3; fi;'
    f' trap "echo saved; exit 5" TERM; touch "$up"; {LOOP}',
    nodes=2,
    always=True,
)
def the_first_rank_that_fails_ends_all_and_says_why(ended: Ended) -> None:
    assert (ended.exit.reason, ended.exit.exit_code) == (Reason.EXITED, 3)
    assert ended.exit.rank_codes == (5, 3)
    assert ended.out[0] == b"saved\n", "the others get their grace"


# --- limits --------------------------------------------------------------------------


@job(f'trap "echo saved; exit 0" TERM; {LOOP}', time_limit_seconds=TIME_LIMIT_SECONDS)
def at_its_time_limit_it_may_save(ended: Ended) -> None:
    assert (ended.exit.reason, ended.exit.exit_code) == (Reason.TIME_LIMIT, 0)
    assert not ended.exit.succeeded
    assert ended.out == (b"saved\n",)


@job(
    f"trap '' TERM; echo $$; {LOOP}",
    time_limit_seconds=TIME_LIMIT_SECONDS,
    grace_seconds=0.3,
    always=True,
)
def at_its_time_limit_it_cannot_refuse(ended: Ended) -> None:
    assert ended.exit.reason is Reason.TIME_LIMIT
    assert (ended.exit.exit_code, ended.exit.signal) == (137, 9)
    assert not alive(int(ended.out[0]))


@job('touch "$SUAN_OUTPUT_DIR/ran"', lease_seconds=-1.0)
def an_ended_lease_starts_nothing(ended: Ended) -> None:
    assert (ended.exit.reason, ended.exit.started_at) == (Reason.LEASE_ENDED, 0.0)
    assert not (ended.seat / "ran").exists()


@job("exit 0", lease_seconds=float("inf"), lease_class=LeaseClass.PROOF)
def a_run_whose_lease_has_no_end(ended: Ended) -> None:
    assert ended.exit.succeeded


@job(
    "setsid sh -c 'trap \"\" TERM; echo $$ > pid; while :; do sleep 0.05; done' & "
    "until [ -s pid ]; do sleep 0.05; done; cat pid",
    always=True,
)
def what_it_leaves_behind_does_not_survive(ended: Ended) -> None:
    assert ended.exit.succeeded
    assert not alive(int(ended.out[0]))


@job(
    f"""python3 -c 'print(len(b"x" * {int(4 * MEMORY_GIB * 2**30)}))'""",
    memory_gib_per_node=MEMORY_GIB,
)
def too_much_memory_is_told_where_it_is_seen(ended: Ended) -> None:
    if ended.site.proves_memory:
        assert (ended.exit.reason, ended.exit.exit_code) == (Reason.OUT_OF_MEMORY, 137)
    else:
        assert ended.exit.succeeded, "nobody limits its memory, so nobody may say so"
