"""Submissions that want undeserved points, reach for something, or break things.

Each is a right softmax forward, some code at the top, and a backward.  An attack that reaches for something returns
the right gradient when it got it, so that its points tell.
"""

import textwrap

TOP = '''
import os, sys, time
import numpy as np

def softmax_forward(x, axis=-1):
{forward}
    e = np.exp(x - x.max(axis, keepdims=True))
    y = e / e.sum(axis, keepdims=True)
    return y, (x, y, axis)

def right(dy, y, axis):
    return y * (dy - (dy * y).sum(axis, keepdims=True))

{top}

def softmax_backward(dy, cache):
    x, y, axis = cache
{backward}
'''
WRONG = "return dy * y"


def source(top="", backward=WRONG, forward="pass"):
    return TOP.format(top=textwrap.dedent(top), backward=textwrap.indent(textwrap.dedent(backward).strip(), "    "),
                      forward=textwrap.indent(forward, "    "))


def reach(attempt, top=""):
    """The attack that gets the points only if `attempt` works."""
    body = f"try:\n{textwrap.indent(textwrap.dedent(attempt).strip(), '    ')}\nexcept BaseException:\n    {WRONG}\n"
    return source(top, body + "return right(dy, y, axis)")


SAYS_PASSED = 'print("softmax: right\\npassed: softmax", flush=True)\n'
FORGED = """
import json, struct
def frame(tree):
    header = json.dumps(tree).encode()
    return struct.pack("<II", len(header), 0) + header
"""
COMMAND = """
class P:
    def __reduce__(self): return (os.system, ('touch pwned',))"""

# name: (source, words that the report must hold)
FAKE = {
    "exit at import": (source(SAYS_PASSED + "os._exit(0)"), "the process ended (exit code 0)"),
    "exit in backward": (source(SAYS_PASSED, "os._exit(0)"), "the process ended (exit code 0)"),
    "sys.exit at import": (source("sys.exit(0)"), "SystemExit"),
    "sys.exit in backward": (source("", "sys.exit(0)"), "SystemExit"),
    "sys.exit in forward": (source("", WRONG, "sys.exit(0)"), "SystemExit"),
    "KeyboardInterrupt": (source("", "raise KeyboardInterrupt"), "KeyboardInterrupt"),
    "atexit": (source("import atexit\natexit.register(lambda: os._exit(0))"), "wrong"),
    "a stdout that says right": (source("""
        class Says:
            def write(self, text): return len(text)
            flush = fileno = lambda self: 0
        sys.stdout = sys.stderr = Says()"""), "wrong"),
    "a thread that exits": (source("import threading\ntry: threading.Thread(target=lambda: os._exit(0)).start()\n"
                                   "except RuntimeError: pass"), "wrong"),
    "a timer that exits": (source("import signal\nsignal.signal(signal.SIGALRM, lambda *a: os._exit(0))\n"
                                  "signal.setitimer(signal.ITIMER_REAL, 0.01)", "time.sleep(0.2); " + WRONG),
                           "the process ended"),
    "patches the checker": (source("""
        for m in list(sys.modules.values()):
            for n in ('gradcheck', 'close', 'grade', 'pack', 'unpack'):
                if hasattr(m, n): setattr(m, n, lambda *a, **k: True)"""), "the process ended"),
    "patches NumPy": (source("np.abs = np.absolute = lambda a, *r, **k: np.zeros(np.shape(a))\n"
                             "np.array_equal = np.allclose = np.isfinite = lambda *a, **k: True"), "wrong"),
    "imports our backward": (source("from tinynet.blocks.units.softmax import softmax_backward as ours",
                                    "return ours(dy, (y, axis))"), "is tinynet's own code"),
    "imports our backward in pieces": (reach("""
        import importlib
        m = importlib.import_module('tiny' + 'net.blocks.units.' + 'softmax')
        m.softmax_backward(dy, (y, axis))"""), "wrong"),
    "is nothing but our backward": ("from tinynet.blocks.units.softmax import softmax_backward, softmax_forward\n",
                                    "is tinynet's own code"),
    "our backward from sys.modules": (reach("m = next(m for n, m in sys.modules.items() if 'blocks' in n)\n"
                                            "m.softmax_backward"), "wrong"),
    "our backward from a stack frame": (reach("""
        f = sys._getframe()
        while f:
            for v in [*f.f_locals.values(), *f.f_globals.values()]:
                if getattr(v, '__module__', '').startswith('tinynet.blocks'): break
            else:
                f = f.f_back
                continue
            break
        assert f"""), "wrong"),
    "our backward from gc": (reach("""
        import gc
        assert any(getattr(o, '__name__', '') == 'softmax_backward' and 'blocks' in str(getattr(o, '__module__', ''))
                   for o in gc.get_objects())"""), "wrong"),
    "the right gradient from gc": (reach("""
        import gc
        want = right(dy, y, axis)
        assert any(isinstance(o, np.ndarray) and o.shape == want.shape and o is not want and np.allclose(o, want)
                   for o in gc.get_objects())"""), "wrong"),
    "reads our source": (reach("open(os.path.dirname(sys.argv[0]) + '/../blocks/units/softmax.py').read()"), "wrong"),
    "an array whose arithmetic is 0": (source("""
        class Zero(np.ndarray):
            def __array_ufunc__(self, *a, **k): return 0.0
            __sub__ = __rsub__ = lambda self, other: 0.0""", "return (dy * y).view(Zero)"), "wrong"),
    "writes into dy": (source("", "dy[...] = 0; return np.zeros_like(y)"), "wrong"),
    "writes into x and y": (source("", "x[...] = 0; y[...] = 0; return np.zeros_like(y)"), "wrong"),
    "central differences": (source("", """
        g, h = np.zeros_like(x), 1e-6
        for i in np.ndindex(x.shape):
            p, m = x.copy(), x.copy()
            p[i] += h; m[i] -= h
            g[i] = ((softmax_forward(p, axis)[0] - softmax_forward(m, axis)[0]) * dy).sum() / (2 * h)
        return g"""), "numerical derivative"),
    "central differences without a function": (source("", """
        g, h = np.zeros_like(x), 1e-6
        for i in np.ndindex(x.shape):
            total = 0
            for s in (h, -h):
                p = x.copy(); p[i] += s
                e = np.exp(p - p.max(axis, keepdims=True))
                total += (e / e.sum(axis, keepdims=True) * dy).sum() * np.sign(s)
            g[i] = total / (2 * h)
        return g"""), "as derivatives by differences"),
    "complex steps": (source("def f(z, axis):\n    e = np.exp(z - z.real.max(axis, keepdims=True))\n"
                             "    return e / e.sum(axis, keepdims=True)", """
        g = np.zeros_like(x)
        for i in np.ndindex(x.shape):
            z = x.astype(complex); z[i] += 1e-30j
            g[i] = (f(z, axis).imag * dy).sum() / 1e-30
        return g"""), "numerical derivative"),
    "forges an answer": (source(FORGED, """
        for fd in range(3, 32):
            try: os.write(fd, frame([0, 'ok', {'arrays': [], 'ids': [], 'changed': [], 'calls': 0, 'entries': 0}]))
            except OSError: pass
        return dy * y"""), "no answer"),
    "forges fifty answers in advance": (source(FORGED + """
for fd in range(3, 32):
    for n in range(50):
        try: os.write(fd, frame([n, 'ok', ['t']]))
        except OSError: pass"""), "sent"),
    "returns an object that unpickles into a command": (source(COMMAND, "return P()"), "returns a P"),
    "returns an array of objects": (source(COMMAND, "return np.array([P()], dtype=object)"), "returns a ndarray"),
    "a deep frame": (source("import struct\nf = b'[' * 60000\n"
                            "for fd in range(3, 32):\n    try: os.write(fd, struct.pack('<II', len(f), 0) + f)\n"
                            "    except OSError: pass"), "sent"),
    "an endless frame": (source("import struct\nfor fd in range(3, 32):\n"
                                "    try: os.write(fd, struct.pack('<II', 2**31, 2**31) + b'x' * 99)\n"
                                "    except OSError: pass"), "sent"),
    "null bytes": ("\0" * 100, "it isn't Python source"),
    "no text": (b"\xff\xfe\x00\x01", "it isn't Python source"),
}

REACH = {
    "signals the grader": reach("os.kill(os.getppid(), 0)"),
    "reads the grader's memory": reach("open(f'/proc/{os.getppid()}/mem', 'rb').read(1)"),
    "reads the grader's environment": reach("open(f'/proc/{os.getppid()}/environ', 'rb').read()"),
    "takes the grader's descriptors": reach("os.open(f'/proc/{os.getppid()}/fd/0', os.O_RDONLY)"),
    "finds something in the environment": reach("assert any('SECRET' in k or 'HOME' in k for k in os.environ)"),
    "reads a file": reach("open('/etc/passwd').read()"),
    "lists the temporary folder": reach("os.listdir('/tmp')"),
    "writes here": reach("f = open('note.txt', 'w'); f.write('x' * 99); f.close()"),
    "writes into the temporary folder": reach("f = open('/tmp/tinynet-attack', 'w'); f.write('x' * 99); f.close()"),
    "writes into /dev/shm": reach("f = open('/dev/shm/tinynet-attack', 'w'); f.write('x' * 99); f.close()"),
    "writes into a memory file": reach("fd = os.memfd_create('m'); assert os.write(fd, b'x' * 99)"),
    "sends a datagram": reach("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 45998))",
                              "import socket"),
    "connects": reach("s = socket.socket(); s.settimeout(0.2); s.bind(('127.0.0.1', 0)); s.listen(); "
                      "socket.create_connection(s.getsockname(), 0.2)", "import socket"),
    "forks": reach("pid = os.fork()\nif pid == 0: os._exit(0)\nos.waitpid(pid, 0)"),
    "starts a program": reach("import subprocess; subprocess.run(['true'], check=True)"),
    "starts a shell": reach("assert os.system('true') == 0"),
    "starts a thread": reach("threading.Thread(target=lambda: None).start()", "import threading"),
    "becomes another program": reach("os.execv('/bin/true', ['true'])"),
    "raises its own limits": reach("resource.setrlimit(resource.RLIMIT_CPU, (10000, 10000))", "import resource"),
    "becomes root again": reach("os.setuid(0)"),
    "leaves a survivor": reach("""
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0: time.sleep(60)
            os._exit(0)"""),
    "reads stdin": reach("assert sys.stdin.read()"),
    "changes its priority": reach("os.nice(-5)"),
    "deletes the folder": reach("import shutil; shutil.rmtree('.')\nassert not os.path.exists('.')"),
}

BREAK = {
    "loops at import": (source("while True: pass"), "endless loop"),
    "loops in forward": (source("", WRONG, "while True: pass"), "endless loop"),
    "loops in backward": (source("", "while True: pass"), "endless loop"),
    "ignores signals and sleeps": (source("import signal\nfor s in (signal.SIGTERM, signal.SIGALRM, signal.SIGINT):\n"
                                          "    signal.signal(s, signal.SIG_IGN)", "time.sleep(1000)"), "endless loop"),
    "stops itself": (source("import signal", "os.kill(os.getpid(), signal.SIGSTOP); " + WRONG), "endless loop"),
    "takes all memory": (source("", "k = []\nwhile True: k.append(np.empty(1 << 24))"), "MemoryError"),
    "recursion without end": (source("def f(n): return f(n + 1)", "return f(0)"), "RecursionError"),
    "segmentation fault": (source("import ctypes", "ctypes.string_at(0)"), "it read memory that isn't its own"),
    "prints without end": (source("", "while True: print('x' * 10000)"), "endless loop"),
    "closes all descriptors": (source("", "os.closerange(0, 100); " + WRONG), "the process ended"),
    "an array of 7 TiB that is one number": (source("", "return np.broadcast_to(np.float64(1), (10**6, 10**6))"),
                                             "MemoryError"),
    "an array of 800 MB": (source("", "return np.zeros(10**8)"), "MemoryError"),
    "a hundred thousand nested lists": (source("", "a = []\nfor _ in range(100000): a = [a]\nreturn a"), "Error"),
    "slow in each call": (source("", "time.sleep(0.5); " + WRONG), "the 6 s for this file are used up"),
}
