"""Ctrl-C: what was learned is kept, and nothing goes on."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what had been learned by then."""

    def __init__(self, when, result=None):
        super().__init__(when)
        self.result = result

    def __reduce__(self):
        # From a worker process, too, with what it had learned.
        return type(self), (*self.args, self.result)


class Work:
    """Steps that learn and steps that finish, of which Ctrl-C loses nothing."""

    when = ""

    def learn(self, kind, function, *args, **kwargs):
        """Return what a function returns, or had learned when it was interrupted."""
        try:
            return function(*args, **kwargs)
        except Interrupted as stop:
            if not isinstance(stop.result, kind):
                raise KeyboardInterrupt(*stop.args) from stop
            self.when = str(stop)
            return stop.result

    def finish(self, function, *args):
        """Return what a function returns, which begins anew if it is interrupted."""
        while True:
            try:
                return function(*args)
            except KeyboardInterrupt:
                if self.when:
                    raise
                self.when = "when it was nearly done"
            except Exception as error:
                if not self.when:
                    raise
                raise KeyboardInterrupt(str(error)) from error

    def end(self, function, *args):
        """Finish by a function; return its result, or raise with it if interrupted."""
        result = self.finish(function, *args)
        if self.when:
            raise Interrupted(self.when, result)
        return result


def learn_then(function, kind, learn, *args, **kwargs):
    """Return ``function(learn(...))``, of what there is if Ctrl-C interrupts it."""
    work = Work()
    return work.end(function, work.learn(kind, learn, *args, **kwargs))


def fit_whole(estimator, *args, **kwargs):
    """Fit an estimator; what only a part of it had learned is lost if interrupted."""
    try:
        return estimator.fit(*args, **kwargs)
    except Interrupted as stop:
        if stop.result is estimator:
            raise
        raise KeyboardInterrupt(*stop.args) from stop
