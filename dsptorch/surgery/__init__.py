"""Put layers into existing models: insert, stream, fold, bind."""

from dsptorch.surgery.binding.bind import bind, unbind
from dsptorch.surgery.find import find
from dsptorch.surgery.fold import fold
from dsptorch.surgery.insertion.insert import insert, remove
from dsptorch.surgery.streams.stream import Stream
from dsptorch.surgery.streams.streaming import streaming

__all__ = ["Stream", "bind", "find", "fold", "insert", "remove", "streaming", "unbind"]
