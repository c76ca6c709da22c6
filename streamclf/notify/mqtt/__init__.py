"""MQTT: what is heard goes to a broker, and Home Assistant finds it there by itself."""
