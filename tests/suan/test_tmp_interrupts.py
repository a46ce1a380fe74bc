import random, signal, subprocess, time, os, sys, pytest
from pathlib import Path
from standin import Served
SUAN = str(Path(sys.executable).parent / "suan")
@pytest.mark.parametrize("n", range(40))
def test_int(at_stand, stand, n):
    at_stand("submit","-",stdin="name: t\nresources: {accelerators: ascend-910b:8}\nrun: x\n")
    w = subprocess.Popen([SUAN,"ps","-a","-w"],stdout=subprocess.PIPE,stderr=subprocess.PIPE,text=True,env=dict(os.environ)|{"SUAN_DEBUG":"1"})
    w.stdout.readline()
    time.sleep(random.random()*0.05)
    w.send_signal(signal.SIGINT)
    _, words = w.communicate(timeout=60)
    assert w.returncode==130, words
