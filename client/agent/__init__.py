"""The agent: the long-lived process that owns a merchant's data, model, heads and state.

`python -m client.agent MERCHANT_TOML` runs it. It answers on two Unix sockets (`agent.proto`): one for the
merchant's node, which must learn nothing but what the coordinator signed for, and one for the owner.
`stub` is the other end of the first socket; it imports no torch, polars or pydantic.
"""
