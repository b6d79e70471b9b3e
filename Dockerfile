# An image that makes loops on a processor:
#   docker build -t image-dynamics .
#   docker run --rm -v "$PWD:/photos" image-dynamics photo.jpg -o photo.mp4
# PIP_OPTIONS go to pip, for example to take a PyTorch without the CUDA packages, which make most of the image.
FROM python:3.12-slim

ARG PIP_OPTIONS=""
WORKDIR /app
COPY requirements.txt constraints.txt ./
RUN pip install --no-cache-dir $PIP_OPTIONS -r requirements.txt -c constraints.txt
COPY . .

WORKDIR /photos
ENTRYPOINT ["python", "/app/generate.py"]
CMD ["--help"]
