"""Programs that try to get out of the sandbox, or past its checks. Each is bounded and ends by itself.

The task that they are given is to print the secret number that stands nowhere inside the sandbox: none
of them can pass. Network attempts go to 127.0.0.1. CANARY, PARENT and PORT are put in by the test:
a file outside that must not be read or changed, the process that started the sandbox, an open port.
"""

PROGRAMS = {
    "exit at once": "import os\nos._exit(0)",
    "exit with a message": "import sys\nprint('all tests passed')\nsys.exit(0)",
    "a forged verdict": "print('ok')\nprint('PASSED')\nprint('{\"status\": \"ok\"}')",
    "a forged verdict on every file": """
import os
for fd in range(3, 64):
    try:
        os.write(fd, b'{"status": "ok", "verdict": "ok"}\\n')
    except OSError:
        pass
""",
    "frames": """
import sys
frame, seen = sys._getframe(), []
while frame:
    seen.append(sorted(frame.f_locals))
    for name, value in list(frame.f_locals.items()):
        print(name, str(value)[:200])
    frame = frame.f_back
""",
    "every object": """
import gc
for thing in gc.get_objects()[:20000]:
    if isinstance(thing, (str, bytes)) and '4217' in str(thing):
        print(thing)
print([t for t in gc.get_objects() if isinstance(t, dict) and 'output' in t][:3])
""",
    "its own command line": "print(open('/proc/self/cmdline').read(), open('/proc/self/environ').read())",
    "its parent's command line": "import os\nprint(open(f'/proc/{os.getppid()}/cmdline').read())",
    "equality that is always true": """
class Yes(str):
    __eq__ = lambda self, other: True
    __hash__ = str.__hash__
print(Yes('4217x'))
""",
    "a fork bomb": """
import os, time
made = 0
for _ in range(400):
    try:
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
        made += 1
    except OSError:
        break
print('processes', made)
""",
    "a fork bomb of forks": """
import os, time
end = time.time() + 3
for _ in range(9):
    try:
        os.fork()
    except OSError:
        pass
while time.time() < end:
    time.sleep(0.1)
""",
    "threads": """
import threading, time
made = 0
try:
    for _ in range(400):
        threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
        made += 1
except RuntimeError:
    pass
print('threads', made)
""",
    "a memory bomb": """
held = []
for _ in range(64):
    held.append(bytearray(64 << 20))
print('held', len(held))
""",
    "a memory bomb in children": """
import os, time
for _ in range(4):
    if os.fork() == 0:
        try:
            held = bytearray(1 << 32)
            print('held')
        except MemoryError:
            pass
        os._exit(0)
time.sleep(1)
""",
    "endless output": "line = 'x' * 1000000\nfor _ in range(200):\n    print(line)",
    "endless errors": "import sys\nfor _ in range(200):\n    sys.stderr.write('x' * 1000000)",
    "an endless loop": """
import time
end = time.process_time() + 30
while time.process_time() < end:
    pass
""",
    "an endless loop that ignores signals": """
import signal, time
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
end = time.process_time() + 30
while time.process_time() < end:
    pass
""",
    "endless sleep": "import time\ntime.sleep(300)",
    "a tower of powers": "print(9 ** 9 ** 9)",
    "a full disk": """
written = 0
try:
    for i in range(40):
        with open(f'/tmp/{i}', 'wb') as file:
            for _ in range(8):
                written += file.write(bytes(1 << 20))
except OSError:
    pass
print('written', written >> 20)
""",
    "many files": """
import os
made = 0
try:
    for i in range(3000):
        os.makedirs(f'/tmp/{i}', exist_ok=True)
        made += 1
except OSError:
    pass
print('folders', made)
""",
    "a deep recursion": "import sys\nsys.setrecursionlimit(10**7)\ndef f(n):\n    return f(n + 1)\nf(0)",
    "reading the list of users": "print(open('/etc/passwd').read())",
    "reading the home folders": """
import os
for path in ('/root', '/home', os.path.expanduser('~')):
    for folder, _, files in os.walk(path):
        for name in files:
            if not folder.startswith(os.path.realpath(os.path.dirname(os.__file__) + '/../..')):
                print(folder, name)
""",
    "reading the canary": "print(open(CANARY).read())",
    "writing the canary": "open(CANARY, 'w').write('escaped')",
    "writing the system": """
import os
for path in ('/usr/escaped', '/etc/escaped', '/program/main.py', '/escaped', '/bin/escaped', '/old/escaped'):
    try:
        open(path, 'w').write('escaped')
        print('wrote', path)
    except OSError:
        pass
""",
    "a symbolic link out": """
import os
os.symlink(CANARY, '/tmp/link')
os.symlink('/', '/tmp/root')
for path in ('/tmp/link', '/tmp/root' + CANARY, '/proc/1/root' + CANARY, '/proc/self/root' + CANARY):
    try:
        print('read', open(path).read())
    except OSError:
        pass
""",
    "out by dots": "print(open('../' * 40 + CANARY.lstrip('/')).read())",
    "the old root": "import os\nprint('old', os.listdir('/old'))\nprint(open('/old' + CANARY).read())",
    "leaving the root": """
import os
os.mkdir('/tmp/jail')
hold = os.open('/', os.O_RDONLY)
os.chroot('/tmp/jail')
os.fchdir(hold)
for _ in range(40):
    os.chdir('..')
os.chroot('.')
print(open(CANARY).read())
""",
    "mounting": """
import ctypes
libc = ctypes.CDLL(None)
for kind in (b'proc', b'tmpfs', b'sysfs', b'devtmpfs'):
    print(kind, libc.mount(b'x', b'/tmp', kind, 0, None) == 0)
print(open(CANARY).read())
""",
    "a namespace of its own": """
import ctypes
libc = ctypes.CDLL(None)
print(libc.unshare(0x10000000 | 0x00020000))
print(libc.umount2(b'/usr', 2) == 0, libc.mount(b'/', b'/tmp', None, 4096, None) == 0)
print(open(CANARY).read())
""",
    "becoming root": "import os\nos.setuid(0)\nprint(os.getuid())\nprint(open('/etc/shadow').read())",
    "more of everything": """
import resource
for name in ('RLIMIT_NPROC', 'RLIMIT_AS', 'RLIMIT_CPU', 'RLIMIT_FSIZE'):
    resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print('raised')
""",
    "a connection": """
import socket
with socket.create_connection(('127.0.0.1', PORT), timeout=2) as connection:
    connection.sendall(b'escaped')
print('connected')
""",
    "a datagram": """
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'escaped', ('127.0.0.1', PORT))
print('sent')
""",
    "killing the parent": """
import os, signal
for target in (PARENT, os.getppid(), 1, -1, 0):
    try:
        os.kill(target, signal.SIGKILL)
    except OSError:
        pass
""",
    "tracing the parent": """
import ctypes
libc = ctypes.CDLL(None)
print('traced', libc.ptrace(16, PARENT, 0, 0) == 0)
print(open(f'/proc/{PARENT}/mem', 'rb').read(1))
""",
    "a daemon that stays": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for fd in range(3):
            os.close(fd)
        time.sleep(20)
    os._exit(0)
print('left one behind')
""",
    "typing into the terminal": """
import fcntl, termios
for fd in range(3):
    for byte in b'id\\n':
        fcntl.ioctl(fd, termios.TIOCSTI, bytes([byte]))
print('typed')
""",
}
