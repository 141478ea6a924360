"""Speed of grading beside serial Math-Verify on the same answers, in one run, starting up included.

    python tests/benchmarks/grading.py FOLDER     # MODEL/BENCHMARK.jsonl, as notebook 06 reads them

Each way is a process of its own from its start to its end. Seconds by the clock and of the processor.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERIAL = """
import json, logging, sys
logging.disable(logging.CRITICAL)
from math_verify import parse, verify
pairs = json.load(open(sys.argv[1]))
boxed = lambda text: parse("\\\\boxed{" + text + "}")
print(sum(bool(verify(boxed(gold), boxed(answer))) for gold, answer in pairs))
"""
OURS = """
import json, sys
from helpers.evaluation.grading import grade
print(grade([tuple(pair) for pair in json.load(open(sys.argv[1]))]).count("ok"))
"""


def main(folder: Path, work: Path) -> None:
    rows = [json.loads(line) for path in sorted(folder.glob("*/*.jsonl")) for line in path.open()]
    pairs = [(str(row["gt"]), str(row["pred"][0])) for row in rows]
    work.write_text(json.dumps(pairs))
    print(f"{len(pairs)} answers, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    for name, code in (("serial Math-Verify", SERIAL), ("ours", OURS)) * 2:
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        command = [sys.executable, "-c", code, str(work)]
        right = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - begun
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{name}: {seconds:.1f} s by the clock, {cpu:.1f} s of processor, {right} right")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1]), Path(scratch, "pairs.json"))
