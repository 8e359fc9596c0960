"""What merchants and coordinator must hold identical, and nothing else: the agreement.

The contract (`schema`), what a shop's words mean (`library`), the wire (`protocol`), the model and which of
its parameters travel. It knows no transport and reads no merchant's data.
"""
