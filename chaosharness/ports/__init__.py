"""The protocols between the layers: what a backend, a broker, a sink, a codec, a fault must be.

Small required interfaces, opt-in capabilities; what crosses processes is frozen data. To try it: the toy plugin package
in fixtures/ adds a broker, a sink and a fault by entry points alone.
"""
