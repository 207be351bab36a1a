"""Published beside reproduced, with a verdict."""
