async def run_dev(*a, **k):
    raise NotImplementedError
