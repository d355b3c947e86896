"""The state of a training run, and how to go on from it."""

import torch


class DefaultGenerator:
    """torch's own source of randomness, which networks of others draw from."""

    remembered = ("generator",)
    generator = torch.default_generator


def recall(parts):
    """Return what the parts know: a list of dicts."""
    return [
        {name: _state(getattr(part, name)) for name in _names(part)} for part in parts
    ]


def _names(part):
    return getattr(part, "remembered", ())


def _state(value):
    return value.get_state() if isinstance(value, torch.Generator) else value


def restore(parts, known, device):
    """Let the parts know what :func:`recall` returned; tensors go to `device`."""
    for part, values in zip(parts, known, strict=True):
        for name in _names(part):
            own = getattr(part, name)
            if isinstance(own, torch.Generator):
                own.set_state(values[name])
            else:
                setattr(part, name, _moved(values[name], device))


def _moved(value, device):
    if torch.is_tensor(value):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, device) for item in value]
    return value


def _lay_out(optimizer):
    """Give what an optimiser remembers of parameters their order in memory."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.shape == parameter.shape:
                whole = torch.empty_like(parameter, dtype=value.dtype)
                state[name] = whole.copy_(value)


class RunRecord:
    """Keeps the state of a run in a checkpoint, epoch by epoch, if there is one."""

    def __init__(self, checkpoint):
        self.checkpoint = checkpoint
        self.known = None if checkpoint is None else checkpoint.read()
        self.n_epochs = 0 if self.known is None else self.known["n_epochs"]

    def resume(self, parts, module, optimizer, device):
        """Take up where the same run once ended in a crash, if it did."""
        known, self.known = self.known, None
        if known is not None:
            module.load_state_dict(known["module"])
            optimizer.load_state_dict(known["optimizer"])
            _lay_out(optimizer)
            restore(parts, known["parts"], device)

    def write(self, parts, module, optimizer):
        """Write down the end of an epoch."""
        self.n_epochs += 1
        if self.checkpoint is not None:
            self.checkpoint.write(
                {
                    "n_epochs": self.n_epochs,
                    "module": dict(module.state_dict()),
                    "optimizer": optimizer.state_dict(),
                    "parts": recall(parts),
                }
            )
