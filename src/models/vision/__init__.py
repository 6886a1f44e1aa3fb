"""What a model of audio sees of a video: encoders of frames, and their features at the times of audio
latents.
"""
