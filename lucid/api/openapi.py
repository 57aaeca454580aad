from drf_spectacular.openapi import AutoSchema


class Operation(AutoSchema):
    pass
