"""How messages get to the broker: the contract in ``base``, the real one in ``stomp``, a stand-in in ``memory``."""
