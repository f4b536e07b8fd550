"""URLs of the orders service."""

from __future__ import annotations

from django.urls import path

from orders import views

urlpatterns = [
    path("orders", views.orders, name="orders"),
    path("healthz", views.healthz, name="healthz"),
]
